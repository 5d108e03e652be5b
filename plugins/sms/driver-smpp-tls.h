/* TLS of a connection to an SMS centre: OpenSSL on a non-blocking socket. The certificate is
 * verified against ca_file, or the system's, and must name the host: there is no way to leave that
 * out. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

/* TLS 1.2 or newer. ca_file may be NULL. -EINVAL: it holds no certificates. -ENOMEM. */
int smpp_tls_context_new(SSL_CTX **ret, const char *ca_file);

/* A client's side for one connection on fd, which stays the caller's. -ENOMEM. */
int smpp_tls_new(SSL **ret, SSL_CTX *context, const char *host, int fd);

/* 0: done. -EAGAIN: more is to come, *ret_want_write says which way. -EKEYREJECTED: the certificate
 * is not trusted, or not the host's. -EPROTO. */
int smpp_tls_handshake(SSL *ssl, bool *ret_want_write);

/* As recv() and send(), with a negative errno; *ret_want_write with -EAGAIN only. */
ssize_t smpp_tls_read(SSL *ssl, void *data, size_t size, bool *ret_want_write);
ssize_t smpp_tls_write(SSL *ssl, const void *data, size_t size, bool *ret_want_write);
