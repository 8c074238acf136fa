#include "config.h"
#include "base/utf8.h"
