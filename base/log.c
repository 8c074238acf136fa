#include "config.h"
#include "base/log.h"
