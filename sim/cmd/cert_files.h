/* The certificates of roles that run alone, as files in one folder: what the edge makes, its gateways read,
 * and a control plane may be given. */
#pragma once

#include "sim/cmd/role.h"

/* Makes all (and the folder) when it has none of them: outer-ca.pem, orchestrator.pem, edge.pem, client.pem,
 * tunnel-ca.pem, proxy-<k>.pem, each with its key in *.key. Otherwise reads what an edge needs: nothing of
 * that may be missing. 0, or an exit code after one clear line. */
int cert_files_make(const struct plan *plan, const char *directory, struct run_certs *ret);

/* Reads what the gateway of one tunnel needs: outer_ca and proxies[tunnel]. 0, or an exit code after one
 * clear line. */
int cert_files_read(const char *directory, uint32_t tunnel, struct cert *ret_outer_ca,
                    struct cert *ret_proxy);
