/* vestibule-echo: the echo channel as a program. */
#include "echo.h"

int main(int argc, char **argv) {
        return plugin_main(argc, argv, &echo_ops);
}
