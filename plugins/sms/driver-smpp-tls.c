#include "driver-smpp-tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "cleanup.h"

static void context_freep(SSL_CTX **context) {
        SSL_CTX_free(*context);
}

static void ssl_freep(SSL **ssl) {
        SSL_free(*ssl);
}

int smpp_tls_context_new(SSL_CTX **ret, const char *ca_file) {
        _cleanup_(context_freep) SSL_CTX *context = SSL_CTX_new(TLS_client_method());

        if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
                return -ENOMEM;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        /* Texts leave no copy behind, and a connection has one handshake. */
        (void) SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION);
        (void) SSL_CTX_set_mode(context,
                        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        if (ca_file ? SSL_CTX_load_verify_file(context, ca_file) != 1
                    : SSL_CTX_set_default_verify_paths(context) != 1) {
                ERR_clear_error();
                return -EINVAL;
        }
        *ret = TAKE_PTR(context);
        return 0;
}

static bool is_literal(const char *host) {
        uint8_t address[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int smpp_tls_new(SSL **ret, SSL_CTX *context, const char *host, int fd) {
        _cleanup_(ssl_freep) SSL *ssl = SSL_new(context);

        if (!ssl || SSL_set_fd(ssl, fd) != 1)
                return -ENOMEM;
        SSL_set_connect_state(ssl);
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (is_literal(host)) {
                if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1)
                        return -ENOMEM;
        } else if (SSL_set1_host(ssl, host) != 1 || SSL_set_tlsext_host_name(ssl, host) != 1) {
                return -ENOMEM;
        }
        *ret = TAKE_PTR(ssl);
        return 0;
}

/* What an operation that did not succeed means. */
static int failure(SSL *ssl, int result, bool *ret_want_write) {
        int error = SSL_get_error(ssl, result);

        ERR_clear_error();
        *ret_want_write = error == SSL_ERROR_WANT_WRITE;
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
                return -EAGAIN;
        return error == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

int smpp_tls_handshake(SSL *ssl, bool *ret_want_write) {
        int r = SSL_do_handshake(ssl);

        if (r == 1)
                return 0;
        r = failure(ssl, r, ret_want_write);
        if (r == -EAGAIN)
                return r;
        return SSL_get_verify_result(ssl) != X509_V_OK ? -EKEYREJECTED : -EPROTO;
}

ssize_t smpp_tls_read(SSL *ssl, void *data, size_t size, bool *ret_want_write) {
        int n = SSL_read(ssl, data, size > INT_MAX ? INT_MAX : (int) size);

        return n > 0 ? n : failure(ssl, n, ret_want_write);
}

ssize_t smpp_tls_write(SSL *ssl, const void *data, size_t size, bool *ret_want_write) {
        int n = SSL_write(ssl, data, size > INT_MAX ? INT_MAX : (int) size);

        if (n > 0)
                return n;
        n = failure(ssl, n, ret_want_write);
        return n == 0 ? -EPIPE : n;
}
