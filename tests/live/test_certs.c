/* Certificates: what is made passes the checks, and each broken rule is named. */
#include "sim/live/certs.h"
#include "tests/live/live_test.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"*.tunnel.example", "tunnel.example", "127.0.0.1", "::1", NULL};

static struct cert *make(enum cert_kind kind, const char *name, const struct cert *issuer)
{
    struct cert_options o = {.kind = kind, .common_name = name, .names = kind == CERT_CA ? NULL : names};
    struct cert *c;

    ck_assert_int_eq(cert_new(&o, issuer, &c), 0);
    return c;
}

START_TEST(good_ones)
{
    struct cert *ca = make(CERT_CA, "ca", NULL), *other = make(CERT_CA, "ca", NULL);
    struct cert *server = make(CERT_SERVER, "server", ca);
    char why[CERT_WHY_MAX] = "", both[2 * CERT_CA_BYTES_MAX];

    ck_assert_msg(certs_check_ca(ca->cert_pem, strlen(ca->cert_pem), why) == 0, "%s", why);
    ck_assert_msg(certs_check_server(server->cert_pem, ca->cert_pem, "a.tunnel.example", why) == 0, "%s",
                  why);
    ck_assert_msg(certs_check_server(server->cert_pem, ca->cert_pem, "127.0.0.1", why) == 0, "%s", why);
    snprintf(both, sizeof both, "%s%s", other->cert_pem, ca->cert_pem);
    ck_assert_msg(certs_check_server(server->cert_pem, both, "tunnel.example", why) == 0, "%s", why);

    ck_assert_int_eq(certs_check_server(server->cert_pem, ca->cert_pem, "a.b.tunnel.example", why), -EINVAL);
    ck_assert_str_eq(why, "the certificate does not name a.b.tunnel.example");
    ck_assert_int_eq(certs_check_server(server->cert_pem, other->cert_pem, "tunnel.example", why), -EINVAL);
    ck_assert_str_eq(why, "the certificate is not signed directly by a registered CA");
    ck_assert_int_eq(certs_check_server(ca->cert_pem, ca->cert_pem, "ca", why), -EINVAL);
    ck_assert_str_eq(why, "the authority key identifier is missing");
    cert_free(ca);
    cert_free(other);
    cert_free(server);
}
END_TEST

START_TEST(not_one_certificate)
{
    struct cert *ca = make(CERT_CA, "ca", NULL);
    char why[CERT_WHY_MAX], text[3 * CERT_CA_BYTES_MAX];

    ck_assert_int_eq(certs_check_ca("", 0, why), -EINVAL);
    ck_assert_str_eq(why, "exactly one PEM certificate is needed, found 0");
    snprintf(text, sizeof text, "%s%s", ca->cert_pem, ca->cert_pem);
    ck_assert_int_eq(certs_check_ca(text, strlen(text), why), -EINVAL);
    ck_assert_str_eq(why, "exactly one PEM certificate is needed, found 2");
    snprintf(text, sizeof text, "%s%s", ca->cert_pem, ca->key_pem);
    ck_assert_int_eq(certs_check_ca(text, strlen(text), why), -EINVAL);
    ck_assert_str_eq(why, "exactly one PEM certificate is needed, found 2");
    ck_assert_int_eq(certs_check_ca(ca->key_pem, strlen(ca->key_pem), why), -EINVAL);
    ck_assert_str_eq(why, "not a readable PEM certificate");
    memset(text, '\n', sizeof text);
    ck_assert_int_eq(certs_check_ca(text, CERT_CA_BYTES_MAX + 1, why), -EINVAL);
    ck_assert_str_eq(why, "the certificate has 8193 bytes, at most 8192 are allowed");
    ck_assert_int_eq(certs_check_ca(ca->cert_pem, strlen(ca->cert_pem) / 2, NULL), -EINVAL);
    cert_free(ca);
}
END_TEST

START_TEST(validity)
{
    struct cert_options o = {.kind = CERT_CA, .common_name = "ca", .from_s = -100, .to_s = -10};
    char why[CERT_WHY_MAX];
    struct cert *ca;

    ck_assert_int_eq(cert_new(&o, NULL, &ca), 0);
    ck_assert_int_eq(certs_check_ca(ca->cert_pem, strlen(ca->cert_pem), why), -EINVAL);
    ck_assert_str_eq(why, "the certificate has expired");
    cert_free(ca);
    o.from_s = 1000;
    o.to_s = 2000;
    ck_assert_int_eq(cert_new(&o, NULL, &ca), 0);
    ck_assert_int_eq(certs_check_ca(ca->cert_pem, strlen(ca->cert_pem), why), -EINVAL);
    ck_assert_str_eq(why, "the certificate is not valid yet");
    cert_free(ca);
}
END_TEST

/* A certificate that breaks one rule, made by hand. */
struct odd {
    const char *want;
    int rsa_bits; /* 0: an elliptic key */
    const char *curve, *digest, *constraints, *usage;
    bool no_key_id;
};

static const struct odd odd_ones[] = {
    {NULL, 2048, NULL, "SHA256", "critical,CA:TRUE", "keyCertSign", false},
    {NULL, 0, "P-384", "SHA384", "critical,CA:TRUE", "keyCertSign", false},
    {"the RSA key has 1024 bits, at least 2048 are needed", 1024, NULL, "SHA256", "critical,CA:TRUE",
     "keyCertSign", false},
    {"the ECDSA key has 224 bits, at least P-256 is needed", 0, "P-224", "SHA256", "critical,CA:TRUE",
     "keyCertSign", false},
    {"the signature uses SHA1, SHA-256 or better is needed", 2048, NULL, "SHA1", "critical,CA:TRUE",
     "keyCertSign", false},
    {"the basic constraints are not marked critical", 0, "P-256", "SHA256", "CA:TRUE", "keyCertSign", false},
    {"the certificate is not a CA (basic constraints CA:TRUE are missing)", 0, "P-256", "SHA256",
     "critical,CA:FALSE", "keyCertSign", false},
    {"the certificate is not a CA (basic constraints CA:TRUE are missing)", 0, "P-256", "SHA256", NULL,
     "keyCertSign", false},
    {"the key usage does not allow keyCertSign", 0, "P-256", "SHA256", "critical,CA:TRUE", "digitalSignature",
     false},
    {"the key usage does not allow keyCertSign", 0, "P-256", "SHA256", "critical,CA:TRUE", NULL, false},
    {"the subject key identifier is missing", 0, "P-256", "SHA256", "critical,CA:TRUE", "keyCertSign", true},
};

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

START_TEST(odd_cas)
{
    const struct odd *o = &odd_ones[_i];
    EVP_PKEY *key = o->rsa_bits ? EVP_RSA_gen(o->rsa_bits) : EVP_EC_gen(o->curve);
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char why[CERT_WHY_MAX] = "";
    char *pem;
    long len;
    int r;

    X509_set_version(cert, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(cert), -10);
    X509_gmtime_adj(X509_getm_notAfter(cert), 1000);
    X509_set_pubkey(cert, key);
    if (o->constraints) add_extension(cert, NID_basic_constraints, o->constraints);
    if (o->usage) add_extension(cert, NID_key_usage, o->usage);
    if (!o->no_key_id) add_extension(cert, NID_subject_key_identifier, "hash");
    ck_assert_int_gt(X509_sign(cert, key, EVP_get_digestbyname(o->digest)), 0);
    PEM_write_bio_X509(bio, cert);
    len = BIO_get_mem_data(bio, &pem);
    r = certs_check_ca(pem, len, why);
    ck_assert_str_eq(why, o->want ? o->want : "");
    ck_assert_int_eq(r, o->want ? -EINVAL : 0);
    BIO_free(bio);
    X509_free(cert);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(bad_names)
{
    static const char *const injected[] = {"a,DNS:b", NULL}, *const empty[] = {"", NULL};
    struct cert_options o = {.kind = CERT_SERVER, .common_name = "x", .names = injected};
    struct cert *c;

    ck_assert_int_eq(cert_new(&o, NULL, &c), -EINVAL);
    o.names = empty;
    ck_assert_int_eq(cert_new(&o, NULL, &c), -EINVAL);
}
END_TEST

START_TEST(files)
{
    char dir[] = "certs-XXXXXX", cert_path[64], key_path[64], text[4096];
    struct cert *ca = make(CERT_CA, "ca", NULL);
    struct stat st;
    FILE *f;
    size_t n;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(cert_path, sizeof cert_path, "%s/ca.pem", dir);
    snprintf(key_path, sizeof key_path, "%s/ca.key", dir);
    f = fopen(key_path, "w"); /* an old file that anybody may read does not lend its mode */
    fclose(f);
    chmod(key_path, 0644);
    ck_assert_int_eq(cert_save(ca, cert_path, key_path), 0);
    ck_assert_int_eq(stat(key_path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    f = fopen(cert_path, "r");
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    ck_assert_str_eq(text, ca->cert_pem);
    unlink(cert_path);
    unlink(key_path);
    rmdir(dir);
    ck_assert_int_eq(cert_save(ca, cert_path, NULL), -ENOENT);
    cert_free(ca);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, good_ones);
    tcase_add_test(tc, not_one_certificate);
    tcase_add_test(tc, validity);
    tcase_add_loop_test(tc, odd_cas, 0, sizeof odd_ones / sizeof *odd_ones);
    tcase_add_test(tc, bad_names);
    tcase_add_test(tc, files);
}

int main(void)
{
    return live_test_main("certs", add);
}
