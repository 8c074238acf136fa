/*
 * Writes a history of many sessions, the same in each run: mkhist FILE [MESSAGES [SESSIONS]], 50,000 in 2,500 unless said. For tests of
 * speed and of search: words follow Zipf's law; needles are planted at known places ("needle_7", a UUID, two characters of Chinese).
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history/hist.h"
#include "tests/history/mkhist.h"

int main(int argc, char **argv)
{
    struct err err = {0};
    int messages = argc > 2 ? atoi(argv[2]) : 50000, sessions = argc > 3 ? atoi(argv[3]) : 2500;
    if (argc < 2 || messages < 1 || sessions < 1) {
        fprintf(stderr, "usage: mkhist FILE [MESSAGES [SESSIONS]]\n");
        return 2;
    }
    if (mkhist(argv[1], messages, sessions, &err) != 0) {
        fprintf(stderr, "mkhist: %s\n", err.msg);
        return 1;
    }
    return 0;
}
