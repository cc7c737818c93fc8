/*
 * Certificates made at start-up: a CA, server certificates signed directly by it, client certificates. P-256,
 * SHA-256.
 */
#pragma once

#include <stddef.h>

enum {
    CERT_WHY_MAX = 256,
    CERT_CA_BYTES_MAX = 8192, /* what a CA registered on a tunnel may have as PEM */
};

enum cert_kind {
    CERT_CA,     /* CA:TRUE critical, keyCertSign, subject key identifier */
    CERT_SERVER, /* SAN from `names`, serverAuth */
    CERT_CLIENT, /* clientAuth; SAN from `names`, if any */
};

/* What to make. */
struct cert_options {
    enum cert_kind kind;
    const char *common_name;
    const char *const
        *names;        /* DNS names ("*.a.example" too) or IP addresses, NULL-terminated; may be NULL */
    long from_s, to_s; /* validity, seconds from now; both 0: −1 h … +30 days */
};

/* A certificate with its key, as PEM text owned by the struct. */
struct cert {
    char *cert_pem;
    char *key_pem;
};

/* Makes a certificate signed by `issuer`, or by itself if that is NULL. -ENOMEM; -EINVAL: a name that is
 * none; -EIO: the library failed. */
int cert_new(const struct cert_options *o, const struct cert *issuer, struct cert **ret_cert);

/* NULL is allowed. The key's text is wiped. */
void cert_free(struct cert *c);

/* Writes the PEM files, the key with mode 0600; either path may be NULL. Existing files are replaced.
 * Negative errno. */
int cert_save(const struct cert *c, const char *cert_path, const char *key_path);

/* Reads a file of PEM text, at most 64 KiB of it; `ret_pem` is the caller's. Negative errno. */
int certs_read(const char *path, char **ret_pem);

/* Whether a tunnel would take this as its CA: exactly one PEM certificate of at most 8 kB, CA:TRUE critical,
 * subject key identifier, keyCertSign, valid now, RSA >= 2048 or ECDSA >= P-256, SHA-256 or better. 0, or
 * -EINVAL with the first broken rule as one line in `ret_why` (may be NULL). */
int certs_check_ca(const char *pem, size_t len, char ret_why[CERT_WHY_MAX]);

/* Whether `server_pem` is signed directly by one of the CAs in `ca_pem` (one or more certificates), carries
 * their key identifier, is valid now and names `hostname`. 0, or -EINVAL with one line. */
int certs_check_server(const char *server_pem, const char *ca_pem, const char *hostname,
                       char ret_why[CERT_WHY_MAX]);
