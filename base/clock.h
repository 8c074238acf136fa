#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
/* Time: monotonic for durations and timeouts, wall for what is stored. */
#include <stdint.h>

int64_t clock_mono_us(void); /* microseconds, never goes back */
int64_t clock_wall_ms(void); /* milliseconds since 1970 */

#endif
