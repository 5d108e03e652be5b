/* libcurl's multi interface on epoll, as bare as can be: the references of the benchmarks of
 * requests over HTTP stand on it. What a request is, is the caller's. */
#pragma once

#include <curl/curl.h>
#include <stdint.h>

typedef struct MultiLoop {
        CURLM *multi;
        int epoll;
        uint64_t timer; /* boot time at which libcurl wants to be called, 0: never */
        long n_connections;
} MultiLoop;

/* Keeps at most so many connections; to_host of them to one host, 0: as many as there are. */
void multi_loop_init(MultiLoop *loop, size_t connections, size_t to_host);

void multi_loop_add(MultiLoop *loop, CURL *easy);

/* Lets libcurl do what there is to do, once something happens, or at the boot time next. */
void multi_loop_turn(MultiLoop *loop, uint64_t next);

/* Takes out a handle whose request was answered with this status; another ends the program, as does
 * a request that failed. NULL: there is none. */
CURL *multi_loop_take(MultiLoop *loop, long status);
