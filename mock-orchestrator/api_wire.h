/*
 * What the control plane's client and server share: words of the wire, ids, sizes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/base/ids.h"
#include "sim/base/intern.h"
#include "sim/world/msg.h"

struct str;
struct wire;

/* Words
 * ------------------------------------------------------------------------------------------------------ */

/* "not_found_error" for 404, …. */
const char *api_error_type(int status);
/* What M_ERROR says of a status. */
enum error_code api_error_code(int status);

const char *api_session_status(enum session_status status);
const char *api_work_state(enum work_state state);
const char *api_stop_reason(enum stop_reason reason);
/* The reverse of these and of event_kind_name(); unknown words: RUNNING, ACTIVE, END_TURN, EV_NONE. `text`
 * may be NULL. */
enum session_status api_session_status_of(const char *text);
enum work_state api_work_state_of(const char *text);
enum stop_reason api_stop_reason_of(const char *text);
enum event_kind api_event_kind_of(const char *text);

/* Ids
 * -------------------------------------------------------------------------------------------------------- */

#define API_SESSION "sesn_"
#define API_EVENT   "sevt_"
#define API_WORK    "work_"
#define API_AGENT   "agent_"
#define API_PAGE    "page_"

/* The place in its session's log that an event's id tells (of ours, and of interned ones: the order of first
 * sight). */
#define API_EVENT_ID(session, seq) ((uint64_t)(seq) << 32 | (uint32_t)(session)) /* of ours */
#define API_EVENT_SEQ(id)          ((id)&API_FOREIGN ? (uint32_t)(id) : (uint32_t)((id) >> 32))

/* This bit in the number of an id that is not in our own form; the rest is the number of its interned text.
 */
#define API_FOREIGN (UINT64_C(1) << 63)

/* The number of an id: what it says if it is one of ours, otherwise interned in `t`. False: too many foreign
 * ids. */
bool api_id_number(struct intern *t, const char *prefix, const char *text, uint64_t *ret_number);
/* The text of a number, which may lie in `buffer`. */
const char *api_id_text(const struct intern *t, const char *prefix, uint64_t number, char buffer[ID_SIZE]);

/* Appends text percent-encoded for one segment of a path or one value of a query. */
void api_add_escaped(struct str *out, const char *text);

/* Facts
 * ------------------------------------------------------------------------------------------------------ */

/* A request header by which our own programs say of the event that they post what its body cannot say: that
 * its text is made by content.h, and how the simulated output ended. A control plane that does not know it
 * does without. */
#define API_FACTS_HEADER "windtunnel-event"
#define API_FACTS_SIZE   160

struct api_facts {
    uint64_t chars;   /* of the text */
    uint64_t spilled; /* characters of the whole output, which stands in a file; 0: it does not */
    uint64_t file;    /* a piece of the file with this call's output … */
    uint64_t offset;  /* … from there on; 0, 0: it is none */
    bool corrupt;     /* a check of the output's bytes failed */
    bool refused;     /* a limit refused the call, it never ran */
};
void api_facts_format(const struct api_facts *facts, char ret_text[API_FACTS_SIZE]);
/* False: `text` (may be NULL) is no such header. */
bool api_facts_parse(const char *text, struct api_facts *ret_facts);

/* Sizes
 * ------------------------------------------------------------------------------------------------------ */

/* What messages weigh, as the components reckon: any head; an event, and a result that is posted, without its
 * text. */
#define API_BYTES_HEAD   300u
#define API_BYTES_EVENT  350u
#define API_BYTES_RESULT 450u

/* `base` and the text's characters, at most 2^31. */
uint32_t api_bytes(uint32_t base, uint64_t chars);

/* The first message of one with a large body: at most BODY_CHUNK of it, UNFINISHED if there is more. */
struct msg api_first_part(const struct msg *m);
/* Hands the driver what follows the first part: M_BODY for the rest, with the flags of `m` on the last. */
void api_receive_rest(struct wire *w, const struct msg *m);
/* Hands it all of `m`. */
void api_receive(struct wire *w, const struct msg *m);
