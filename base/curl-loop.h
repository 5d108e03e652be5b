/* libcurl's transfers on an sd-event loop: one multi handle, its sockets and its timer. What a
 * transfer is, is the caller's: curl_easy_setopt() before it is added. A library of its own, so
 * that only programs that transfer something link libcurl. */
#pragma once

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct CurlLoop CurlLoop;

/* A transfer ended. Called once for each, on the loop, never from inside a function of this header.
 * The handle stays the loop's until curl_loop_remove(), which may be called from here, as may
 * everything else but curl_loop_free(). */
typedef void (*CurlDone)(CURL *easy, CURLcode code, void *userdata);

/* -ENOMEM. */
int curl_loop_new(CurlLoop **ret, sd_event *event);

/* For curl_multi_setopt() of what is the caller's to decide (CURLMOPT_MAX_HOST_CONNECTIONS, …); its
 * socket and timer functions are not. */
CURLM *curl_loop_multi(CurlLoop *loop);

/* Begins a transfer. The handle stays the caller's to free, after curl_loop_remove(); its
 * CURLOPT_PRIVATE is the loop's until then. Not to be called from libcurl's own callbacks (header,
 * write, read). -ENOMEM. */
int curl_loop_add(CurlLoop *loop, CURL *easy, CurlDone done, void *userdata);

/* Takes a handle out, whether its transfer has ended or not; done is not called for it any more. It
 * may then be freed, or set anew and added again: a connection that can be used again stays. Not
 * from libcurl's own callbacks. Does nothing to a handle that was not added. */
void curl_loop_remove(CurlLoop *loop, CURL *easy);

/* Ends all transfers without a call, and closes the connections. Handles that were not removed are
 * the caller's to free, after this. Takes NULL, returns NULL. */
CurlLoop *curl_loop_free(CurlLoop *loop);
DEFINE_CLEANUP(CurlLoop, curl_loop_free)
