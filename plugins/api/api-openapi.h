/* openapi.yaml, compiled in by meson through embed.py. */
#pragma once

extern const char api_openapi_text[];
