/*
 * The other end of the control plane's wire: what our own clients and runners say to it, as dialers of the
 * driver.
 *
 * Speaks to any control plane of that wire: of answers only the documented members are needed, and ids are
 * whatever the peer says (those not in our form are interned). It never repeats a request. How requests end
 * that got no answer:
 *
 *   never sent                  RESET_REFUSED, after a dial's time-out RESET_UNREACHABLE
 *   cut before or in an answer  RESET_CUT
 *   an answer not understood    RESET_PROTOCOL
 *   a status of 400 and more    M_ERROR with a = status, c = retry-after
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mock-orchestrator/api_server.h"
#include "sim/live/disk.h"
#include "sim/live/driver.h"

struct api_client;

/* What is posted for a call that is not one of ours: this runner has nothing that could run it. */
#define API_CLIENT_FOREIGN "This runner only simulates its sandboxes; it runs no command"

/* Strings are copied; zero in a member means the default in brackets. */
struct api_client_options {
    /* Where the control plane is for the component `from`: writes a numeric "ip:port" of at most `size`
     * bytes. NULL: it is at `address` for all. */
    void (*address_of)(void *user, addr_t from, char *ret_address, size_t size);
    void *user;
    const char *address;
    const char *hostname;    /* for Host and, without a port, TLS; NULL: the address */
    const char *prefix;      /* before the paths, "/base"; NULL: none */
    struct tls_context *tls; /* NULL: plain; borrowed */
    struct disk *disk;       /* the files of runners; borrowed; NULL: there are no runners */
    const char *api_key;     /* what clients show; may be NULL */
    /* By the plan's pools; the rest have the id api_environment_id(i) and the key of the first. */
    const struct api_environment *environments;
    size_t environment_count;
    const char *const
        *agents; /* ids, one for each script of the plan; NULL: agents go by their scripts' names */
    uint64_t body_bytes_max;  /* of an answer [256 MiB] */
    uint32_t foreign_ids_max; /* ids that are not ours [4 Mi] */
};

/* -ENOMEM. The driver is borrowed. */
int api_client_new(struct driver *driver, const struct api_client_options *o, struct api_client **ret_client);
/* After driver_free(). NULL is allowed. */
void api_client_free(struct api_client *c);

/* The component `from` was killed, after driver_crash(): as if it had a process to itself, its connections
 * are cut, those with requests that are seen through as well as idle ones. */
void api_client_cut(struct api_client *c, addr_t from);

/* For driver_set_dialer(): from ROLE_CLIENT and from ROLE_RUNNER to ROLE_ORCHESTRATOR. */
struct dialer *api_client_dialer(struct api_client *c);
