/* The member `provisioning` of a share and of a further message, from bytes to values: what is
 * shared, in one of four forms, which differ in who can ever read it. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api-problem.h"

typedef enum ApiProvisioningForm {
        API_PROVISIONING_PLAIN,     /* {format, content}: the front seals it */
        API_PROVISIONING_SEALED,    /* {sealed: {kid, box}}: the tenant sealed it (SEALING.md) */
        API_PROVISIONING_ENCRYPTED, /* {encrypted: {type, data}}: the tenant keeps the Secret */
        API_PROVISIONING_MINT,      /* {mint: URL}: fetched from the tenant after confirmation */
} ApiProvisioningForm;

typedef struct ApiProvisioning {
        ApiProvisioningForm form;
        json_t *value; /* owned: {format, content}, {kid, box}, {encrypted: {type, data}}, or
                        * {mint}; base64 in it is standard and padded, and
                        * content is written as it came (api_body_read()) */
        const char *kid, *url; /* borrowed from value, or NULL */
} ApiProvisioning;

#define API_PROVISIONING_NULL ((ApiProvisioning){ API_PROVISIONING_PLAIN, NULL, NULL, NULL })

/* Reads the object; a further message may not be minted. 0: the caller calls
 * api_provisioning_done(). API_E_FAULT with the fault filled, or -ENOMEM. */
int api_provisioning_read(
                const json_t *object, bool may_mint, ApiProvisioning *ret, ApiFault *fault);

void api_provisioning_done(ApiProvisioning *provisioning);
