#include "sim/live/certs.h"

#include "sim/base/panic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FROM_S = -3600,
    TO_S = 30 * 24 * 3600,
    SAN_BYTES_MAX = 8192,
    RSA_BITS_MIN = 2048,
    EC_BITS_MIN = 256,
    HASH_BITS_MIN = 256,
    FILE_BYTES_MAX = 64 * 1024,
};

/* --- making --- */

static X509 *read_cert(const char *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return key;
}

/* The text in a memory BIO, which is freed. NULL: out of memory. */
static char *take_text(BIO *bio)
{
    char *data, *text;
    long len = BIO_get_mem_data(bio, &data);

    text = strndup(data, len);
    BIO_free(bio);
    return text;
}

static bool add_extension(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1) == 1;

    X509_EXTENSION_free(e);
    return ok;
}

/* Letters, digits, '-', '.', ':' and one leading "*.": nothing that could end a name in the extension's text.
 */
static bool name_is_sane(const char *name)
{
    if (strncmp(name, "*.", 2) == 0) name += 2;
    return *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:_") == strlen(name);
}

static bool is_ip(const char *name)
{
    unsigned char address[16];

    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* "DNS:a,IP:1.2.3.4". -EINVAL: a bad name, or too many. */
static int san_text(const char *const *names, char ret_text[SAN_BYTES_MAX])
{
    size_t len = 0;

    ret_text[0] = '\0';
    for (; *names; names++) {
        if (!name_is_sane(*names)) return -EINVAL;
        len += snprintf(ret_text + len, SAN_BYTES_MAX - len, "%s%s:%s", len ? "," : "",
                        is_ip(*names) ? "IP" : "DNS", *names);
        if (len >= SAN_BYTES_MAX) return -EINVAL;
    }
    return 0;
}

static bool add_extensions(X509 *cert, X509 *issuer, const struct cert_options *o, const char *san)
{
    X509V3_CTX ctx;
    bool ok;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ok = add_extension(cert, &ctx, NID_basic_constraints,
                       o->kind == CERT_CA ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
         add_extension(cert, &ctx, NID_subject_key_identifier, "hash");
    if (o->kind == CERT_CA)
        return ok && add_extension(cert, &ctx, NID_key_usage, "critical,keyCertSign,cRLSign");
    ok = ok && add_extension(cert, &ctx, NID_key_usage, "critical,digitalSignature") &&
         add_extension(cert, &ctx, NID_ext_key_usage, o->kind == CERT_SERVER ? "serverAuth" : "clientAuth");
    if (issuer != cert) ok = ok && add_extension(cert, &ctx, NID_authority_key_identifier, "keyid:always");
    return ok && (!*san || add_extension(cert, &ctx, NID_subject_alt_name, san));
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[16];
    BIGNUM *number;
    bool ok;

    if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
    bytes[0] = (bytes[0] & 0x7f) | 0x01;
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

static bool fill(X509 *cert, EVP_PKEY *key, X509 *issuer, const struct cert_options *o)
{
    X509_NAME *name = X509_get_subject_name(cert);
    bool fixed = o->from_s || o->to_s;

    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), fixed ? o->from_s : FROM_S) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), fixed ? o->to_s : TO_S) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)o->common_name, -1,
                                      -1, 0) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
           X509_set_pubkey(cert, key);
}

static int to_pem(X509 *cert, EVP_PKEY *key, struct cert **ret_cert)
{
    struct cert *c = calloc(1, sizeof *c);
    BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());

    if (!c || !cert_bio || !key_bio || !PEM_write_bio_X509(cert_bio, cert) ||
        !PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL)) {
        BIO_free(cert_bio);
        BIO_free(key_bio);
        free(c);
        return -ENOMEM;
    }
    c->cert_pem = take_text(cert_bio);
    c->key_pem = take_text(key_bio);
    if (!c->cert_pem || !c->key_pem) {
        cert_free(c);
        return -ENOMEM;
    }
    *ret_cert = c;
    return 0;
}

int cert_new(const struct cert_options *o, const struct cert *issuer, struct cert **ret_cert)
{
    char san[SAN_BYTES_MAX] = "";
    X509 *cert = NULL, *issuer_cert = NULL;
    EVP_PKEY *key = NULL, *issuer_key = NULL;
    int r = o->names ? san_text(o->names, san) : 0;

    if (r < 0) return r;
    cert = X509_new();
    key = EVP_EC_gen("P-256");
    if (issuer) {
        issuer_cert = read_cert(issuer->cert_pem, strlen(issuer->cert_pem));
        issuer_key = read_key(issuer->key_pem);
    }
    if (!cert || !key || (issuer && (!issuer_cert || !issuer_key)) || !fill(cert, key, issuer_cert, o) ||
        !add_extensions(cert, issuer ? issuer_cert : cert, o, san) ||
        !X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()))
        r = -EIO;
    if (r >= 0) r = to_pem(cert, key, ret_cert);
    X509_free(cert);
    X509_free(issuer_cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
    ERR_clear_error();
    return r;
}

void cert_free(struct cert *c)
{
    if (!c) return;
    if (c->key_pem) OPENSSL_cleanse(c->key_pem, strlen(c->key_pem));
    free(c->key_pem);
    free(c->cert_pem);
    free(c);
}

static int write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        text += n;
        len -= n;
    }
    return 0;
}

/* Replaces the file in one step, so that nobody sees half a key, or one with a mode from before. */
static int save(const char *path, const char *text, mode_t mode)
{
    char temporary[4096];
    int fd, r, n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);

    if (n < 0 || (size_t)n >= sizeof temporary) return -ENAMETOOLONG;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return -errno;
    r = write_all(fd, text);
    if (r >= 0 && fchmod(fd, mode) < 0) r = -errno;
    if (close(fd) < 0 && r >= 0) r = -errno;
    if (r >= 0 && rename(temporary, path) < 0) r = -errno;
    if (r < 0) unlink(temporary);
    return r;
}

int cert_save(const struct cert *c, const char *cert_path, const char *key_path)
{
    int r = cert_path ? save(cert_path, c->cert_pem, 0644) : 0;

    if (r >= 0 && key_path) r = save(key_path, c->key_pem, 0600);
    return r;
}

int certs_read(const char *path, char **ret_pem)
{
    FILE *f = fopen(path, "re");
    char *text;
    size_t n;
    int r = 0;

    if (!f) return -errno;
    text = malloc(FILE_BYTES_MAX + 1);
    errno = 0;
    n = text ? fread(text, 1, FILE_BYTES_MAX, f) : 0;
    if (!text)
        r = -ENOMEM;
    else if (ferror(f))
        r = errno ? -errno : -EIO;
    fclose(f);
    if (r < 0) {
        free(text);
        return r;
    }
    text[n] = '\0';
    *ret_pem = text;
    return 0;
}

/* --- checking --- */

static int __attribute__((format(printf, 2, 3))) refuse(char *ret_why, const char *format, ...)
{
    va_list args;

    if (ret_why) {
        va_start(args, format);
        vsnprintf(ret_why, CERT_WHY_MAX, format, args);
        va_end(args);
    }
    return -EINVAL;
}

/* How many PEM blocks of any kind `pem` has. */
static unsigned count_blocks(const char *pem, size_t len)
{
    static const char begin[] = "-----BEGIN ";
    const char *end = pem + len, *at;
    unsigned n = 0;

    while ((at = memmem(pem, end - pem, begin, sizeof begin - 1))) {
        n++;
        pem = at + sizeof begin - 1;
    }
    return n;
}

static int check_validity(X509 *cert, char *ret_why)
{
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0)
        return refuse(ret_why, "the certificate is not valid yet");
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        return refuse(ret_why, "the certificate has expired");
    return 0;
}

static int check_key(X509 *cert, char *ret_why)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    int type = key ? EVP_PKEY_get_base_id(key) : 0, bits = key ? EVP_PKEY_get_bits(key) : 0;

    if (type == EVP_PKEY_RSA && bits < RSA_BITS_MIN)
        return refuse(ret_why, "the RSA key has %d bits, at least %d are needed", bits, RSA_BITS_MIN);
    if (type == EVP_PKEY_EC && bits < EC_BITS_MIN)
        return refuse(ret_why, "the ECDSA key has %d bits, at least P-256 is needed", bits);
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC)
        return refuse(ret_why, "the key is neither RSA nor ECDSA");
    return 0;
}

static int check_digest(X509 *cert, char *ret_why)
{
    int digest = NID_undef, key = NID_undef, bits = 0;
    uint32_t flags;

    X509_get_signature_info(cert, &digest, &key, &bits, &flags);
    if (digest == NID_undef || EVP_MD_get_size(EVP_get_digestbynid(digest)) * 8 < HASH_BITS_MIN)
        return refuse(ret_why, "the signature uses %s, SHA-256 or better is needed",
                      digest == NID_undef ? "an unknown digest" : OBJ_nid2sn(digest));
    return 0;
}

static int check_constraints(X509 *cert, char *ret_why)
{
    int critical = 0;
    BASIC_CONSTRAINTS *basic = X509_get_ext_d2i(cert, NID_basic_constraints, &critical, NULL);
    bool ca = basic && basic->ca;

    BASIC_CONSTRAINTS_free(basic);
    if (!ca) return refuse(ret_why, "the certificate is not a CA (basic constraints CA:TRUE are missing)");
    if (critical != 1) return refuse(ret_why, "the basic constraints are not marked critical");
    if (!X509_get0_subject_key_id(cert)) return refuse(ret_why, "the subject key identifier is missing");
    if (!(X509_get_extension_flags(cert) & EXFLAG_KUSAGE) || !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
        return refuse(ret_why, "the key usage does not allow keyCertSign");
    return 0;
}

static int check_ca_cert(X509 *cert, char *ret_why)
{
    int r = check_constraints(cert, ret_why);

    if (r >= 0) r = check_validity(cert, ret_why);
    if (r >= 0) r = check_key(cert, ret_why);
    if (r >= 0) r = check_digest(cert, ret_why);
    return r;
}

int certs_check_ca(const char *pem, size_t len, char ret_why[CERT_WHY_MAX])
{
    unsigned blocks;
    X509 *cert;
    int r;

    if (len > CERT_CA_BYTES_MAX)
        return refuse(ret_why, "the certificate has %zu bytes, at most %d are allowed", len,
                      CERT_CA_BYTES_MAX);
    blocks = count_blocks(pem, len);
    if (blocks != 1) return refuse(ret_why, "exactly one PEM certificate is needed, found %u", blocks);
    cert = read_cert(pem, len);
    if (!cert) {
        ERR_clear_error();
        return refuse(ret_why, "not a readable PEM certificate");
    }
    r = check_ca_cert(cert, ret_why);
    X509_free(cert);
    ERR_clear_error();
    return r;
}

/* Whether `server` was signed by `ca` and points at its key. */
static bool signed_by(X509 *server, X509 *ca)
{
    const ASN1_OCTET_STRING *want = X509_get0_authority_key_id(server), *have = X509_get0_subject_key_id(ca);

    if (!want || !have || ASN1_OCTET_STRING_cmp(want, have) != 0) return false;
    return X509_NAME_cmp(X509_get_issuer_name(server), X509_get_subject_name(ca)) == 0 &&
           X509_verify(server, X509_get0_pubkey(ca)) == 1;
}

static bool signed_by_one_of(X509 *server, const char *ca_pem)
{
    BIO *bio = BIO_new_mem_buf(ca_pem, -1);
    bool found = false;
    X509 *ca;

    while (bio && !found && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        found = signed_by(server, ca);
        X509_free(ca);
    }
    BIO_free(bio);
    return found;
}

static int check_server_cert(X509 *server, const char *ca_pem, const char *hostname, char *ret_why)
{
    if (!X509_get0_authority_key_id(server))
        return refuse(ret_why, "the authority key identifier is missing");
    if (!signed_by_one_of(server, ca_pem))
        return refuse(ret_why, "the certificate is not signed directly by a registered CA");
    if (X509_check_host(server, hostname, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1 &&
        X509_check_ip_asc(server, hostname, 0) != 1)
        return refuse(ret_why, "the certificate does not name %.128s", hostname);
    return check_validity(server, ret_why);
}

int certs_check_server(const char *server_pem, const char *ca_pem, const char *hostname,
                       char ret_why[CERT_WHY_MAX])
{
    X509 *server = read_cert(server_pem, strlen(server_pem));
    int r;

    if (!server) {
        ERR_clear_error();
        return refuse(ret_why, "not a readable PEM certificate");
    }
    r = check_server_cert(server, ca_pem, hostname, ret_why);
    X509_free(server);
    ERR_clear_error();
    return r;
}
