#include "config.h"
#include "base/sane.h"
