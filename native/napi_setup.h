// The only file that includes napi.
#pragma once

#include <napi.h>
