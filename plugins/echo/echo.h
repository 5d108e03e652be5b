/* The teaching example of a channel: see echo.c. */
#pragma once

#include "plugin.h"

extern const PluginOps echo_ops;
