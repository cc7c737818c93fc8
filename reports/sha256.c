#include "reports/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

int sha256_hex(const void *bytes, size_t len, char ret_hex[SHA256_HEX_LEN + 1])
{
    unsigned char digest[SHA256_HEX_LEN / 2];
    unsigned n = 0;

    if (EVP_Digest(bytes, len, digest, &n, EVP_sha256(), NULL) != 1 || n != sizeof(digest)) return -EIO;
    for (unsigned i = 0; i < n; i++) snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
    return 0;
}
