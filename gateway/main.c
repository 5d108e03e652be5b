/* vestibuled: the gateway's process. It has no network: everything that touches the outside world
 * is a plugin on a Unix socket. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "gateway.h"
#include "json-wipe.h"
#include "log.h"

static const char default_config[] = "/etc/vestibule/vestibule.conf";

static int help(void) {
        (void) printf("vestibuled [--config FILE] [--check]\n\n"
                      "Asks the recipients of shared keys for a second factor on the channel that "
                      "invited them, and\n"
                      "calls the relay only after they have confirmed.\n\n"
                      "  --config FILE   instead of %s; FILE.d/*.conf follow it\n"
                      "  --check         read and check everything, print the policies and "
                      "credentials, and end\n"
                      "  --help          print this\n"
                      "  --version       print the version\n\n"
                      "Credentials are read from $CREDENTIALS_DIRECTORY. SIGHUP reads the "
                      "configuration again.\n",
                        default_config);
        return 0;
}

static int check(const char *path) {
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(template_set_freep) TemplateSet *templates = NULL;
        _cleanup_(freep) char *problems = NULL, *template_problems = NULL, *lacking = NULL;
        int r;

        r = config_load(path, &config, &problems);
        if (r != 0) {
                (void) fprintf(stderr, "%s\n", r > 0 ? problems : strerror(-r));
                return EX_CONFIG;
        }
        r = gateway_load_templates(config, &templates, &template_problems);
        if (r != 0) {
                (void) fprintf(stderr, "%s\n", r > 0 ? template_problems : strerror(-r));
                return EX_CONFIG;
        }
        config_check_report(config, stdout);
        for (size_t i = 0; i < config->n_channels; i++)
                if (streq(config->channels[i].scheme, "sms")) {
                        template_set_hints(templates, stdout);
                        break;
                }
        r = config_check_machine(config, &lacking);
        if (r == 0)
                return 0;
        (void) fflush(stdout);
        (void) fprintf(stderr, "%s\n", r > 0 ? lacking : strerror(-r));
        return EX_CONFIG;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void) source;
        (void) info;
        (void) sd_notify(0, "RELOADING=1");
        gateway_reload(userdata);
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void) info;
        (void) userdata;
        (void) sd_notify(0, "STOPPING=1");
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int add_signals(sd_event *event, Gateway *gateway) {
        static const int ends[] = { SIGTERM, SIGINT };
        sigset_t set;
        int r = 0;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGHUP);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; r >= 0 && i < N_ELEMENTS(ends); i++)
                r = sd_event_add_signal(event, NULL, ends[i], on_end, NULL);
        return r < 0 ? r : sd_event_add_signal(event, NULL, SIGHUP, on_reload, gateway);
}

static int serve(const char *path) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(gateway_freep) Gateway *gateway = NULL;
        int r;

        r = secret_init();
        if (r < 0) {
                log_error("There is no randomness: %s.", strerror(-r));
                return EX_OSERR;
        }
        r = sd_event_default(&event);
        if (r >= 0)
                r = gateway_new(&gateway, event, path);
        if (r < 0)
                return EX_CONFIG;
        r = add_signals(event, gateway);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r >= 0)
                r = gateway_start(gateway);
        if (r < 0) {
                log_error("The gateway cannot start: %s.", strerror(-r));
                return EX_OSERR;
        }
        log_info("vestibuled %s is ready.", VESTIBULE_VERSION);
        (void) sd_notify(0, "READY=1");
        r = sd_event_loop(event);
        if (r < 0) {
                log_error("The event loop failed: %s.", strerror(-r));
                return EX_SOFTWARE;
        }
        return 0;
}

int main(int argc, char **argv) {
        enum { OPTION_HELP = 256, OPTION_VERSION, OPTION_CONFIG, OPTION_CHECK };
        static const struct option options[] = {
                { "help", no_argument, NULL, OPTION_HELP },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "config", required_argument, NULL, OPTION_CONFIG },
                { "check", no_argument, NULL, OPTION_CHECK },
                { 0 },
        };
        const char *path = default_config;
        bool only_check = false;
        int option;

        json_wipe_install();
        log_open("vestibuled");
        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case OPTION_HELP:
                        return help();
                case OPTION_VERSION:
                        (void) printf("vestibuled %s\n", VESTIBULE_VERSION);
                        return 0;
                case OPTION_CONFIG:
                        path = optarg;
                        break;
                case OPTION_CHECK:
                        only_check = true;
                        log_omit_priority();
                        break;
                default:
                        return EX_USAGE;
                }
        if (optind < argc) {
                (void) fprintf(stderr, "vestibuled takes no arguments; see --help.\n");
                return EX_USAGE;
        }
        return only_check ? check(path) : serve(path);
}
