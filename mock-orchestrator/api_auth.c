/* Credentials: the API key, environments' keys, and the token that comes with a work item. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mock-orchestrator/api_server_state.h"
#include "sim/base/panic.h"

#define TOKEN_PREFIX "sk-ant-req-"
#define SIGNATURE    16 /* bytes of it that stand in a token */

/* A token needs no table: it says what it is for and is signed, with a secret that is the same after a
 * restart. */
void auth_init(struct api_server *s)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL)) PANIC("no SHA-256");
    EVP_DigestUpdate(md, "windtunnel", 10);
    if (s->api_key) EVP_DigestUpdate(md, s->api_key, strlen(s->api_key) + 1);
    vec_for_each(e, &s->environments)
    {
        EVP_DigestUpdate(md, e->id, strlen(e->id) + 1);
        if (e->key) EVP_DigestUpdate(md, e->key, strlen(e->key) + 1);
    }
    EVP_DigestFinal_ex(md, s->secret, NULL);
    EVP_MD_CTX_free(md);
}

void auth_item_token(const struct api_server *s, uint64_t work, uint64_t session, char ret_token[TOKEN_SIZE])
{
    char item[ID_SIZE];
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t n = id_format(ret_token, TOKEN_PREFIX, work);

    id_format(item, "-", session);
    n += (size_t)snprintf(ret_token + n, TOKEN_SIZE - n, "%s", item);
    if (!HMAC(EVP_sha256(), s->secret, SECRET_BYTES, (const unsigned char *)ret_token, n, mac, NULL))
        PANIC("no HMAC");
    ret_token[n++] = '-';
    for (int i = 0; i < SIGNATURE; i++) n += (size_t)snprintf(ret_token + n, TOKEN_SIZE - n, "%02x", mac[i]);
}

static bool same(const char *a, const char *b)
{
    size_t n = strlen(a);

    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

/* Reads a token; false if it is none that was given out here. */
static bool read_token(const struct api_server *s, struct principal *p)
{
    const char *text = p->credential;
    size_t first = strlen(TOKEN_PREFIX) + ID_DIGITS, second = 1 + ID_DIGITS;
    char expected[TOKEN_SIZE];

    if (strlen(text) != first + second + 1 + 2 * SIGNATURE) return false;
    if (!id_parse(text, first, TOKEN_PREFIX, &p->work)) return false;
    if (!id_parse(text + first, second, "-", &p->session)) return false;
    auth_item_token(s, p->work, p->session, expected);
    return same(text, expected);
}

static const char *credential_of(const struct http_exchange *x)
{
    const char *bearer = http_exchange_header(x, "authorization"),
               *key = http_exchange_header(x, "x-api-key");

    if (key || !bearer) return key;
    if (strncasecmp(bearer, "bearer ", 7) != 0) return NULL;
    for (bearer += 7; *bearer == ' ';) bearer++;
    return bearer;
}

static bool opens_some_environment(const struct api_server *s, const char *credential)
{
    for (size_t i = 0; i < s->environments.len; i++) {
        const char *key = s->environments.items[i].key;

        if (key && same(key, credential)) return true;
    }
    return false;
}

static bool some_environment_is_open(const struct api_server *s)
{
    for (size_t i = 0; i < s->environments.len; i++) {
        if (!s->environments.items[i].key) return true;
    }
    return false;
}

struct principal auth_principal(const struct api_server *s, const struct http_exchange *x, bool for_workers)
{
    struct principal p = {.who = WHO_NOBODY, .credential = credential_of(x)};

    if (p.credential && s->api_key && same(s->api_key, p.credential))
        p.who = WHO_CONTROL;
    else if (p.credential && opens_some_environment(s, p.credential))
        p.who = WHO_WORKER;
    else if (p.credential && read_token(s, &p))
        p.who = WHO_ITEM;
    else if (!s->api_key)
        p.who = WHO_CONTROL;
    else if (for_workers && some_environment_is_open(s))
        p.who = WHO_WORKER;
    return p;
}

bool auth_may_serve(const struct api_server *s, const struct principal *p, uint32_t environment)
{
    const char *key = s->environments.items[environment].key;

    return p->who == WHO_CONTROL || !key ||
           (p->who == WHO_WORKER && p->credential && same(key, p->credential));
}
