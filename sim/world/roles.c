#include "sim/world/world.h"

const struct component_ops *const world_roles[ROLE_COUNT] = {
    [ROLE_MCP] = &mcp_ops,       [ROLE_ORCHESTRATOR] = &orchestrator_ops, [ROLE_EDGE] = &edge_ops,
    [ROLE_PROXY] = &proxy_ops,   [ROLE_CONNECTOR] = &connector_ops,       [ROLE_RUNNER] = &runner_ops,
    [ROLE_CLIENT] = &client_ops,
};
