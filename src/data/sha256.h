/* SHA-256 (FIPS 180-4). Must not know what is digested. */
#ifndef BLO_DATA_SHA256_H
#define BLO_DATA_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { BLO_SHA256_BYTES = 32 };

void blo_sha256(const uint8_t *bytes, size_t count, uint8_t digest[BLO_SHA256_BYTES]);

#endif
