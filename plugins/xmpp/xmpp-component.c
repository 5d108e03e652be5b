#include "xmpp-component.h"

#include <errno.h>

#if LIBSTROPHE_MINOR < 14

static int refuse_socket(xmpp_conn_t *connection, void *socket) {
        (void) connection;
        (void) socket;
        return -1;
}

static void ignore_event(xmpp_conn_t *connection,
                xmpp_conn_event_t event,
                int error,
                xmpp_stream_error_t *stream_error,
                void *userdata) {
        (void) connection;
        (void) event;
        (void) error;
        (void) stream_error;
        (void) userdata;
}

int xmpp_component_prepare(xmpp_ctx_t *context, xmpp_conn_t *connection) {
        xmpp_conn_t *donor = xmpp_conn_new(context);
        xmpp_sm_state_t *state;
        int r = -ENOMEM;

        if (!donor)
                return -ENOMEM;
        xmpp_conn_set_jid(donor, "nobody@localhost");
        xmpp_conn_set_sockopt_callback(donor, refuse_socket);
        /* A literal address, so that nothing is asked of a name server. */
        (void) xmpp_connect_client(donor, "127.0.0.1", 1, ignore_event, NULL);
        state = xmpp_conn_get_sm_state(donor);
        if (state && xmpp_conn_set_sm_state(connection, state) == XMPP_EOK)
                r = 0;
        xmpp_conn_release(donor);
        return r;
}

#else

int xmpp_component_prepare(xmpp_ctx_t *context, xmpp_conn_t *connection) {
        (void) context;
        (void) connection;
        return 0;
}

#endif
