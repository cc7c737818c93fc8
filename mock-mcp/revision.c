#include "mock-mcp/revision.h"

#include <string.h>

static const char *const names[MCP_REVISION_COUNT] = {
    [MCP_2025_06_18] = "2025-06-18",
    [MCP_2025_11_25] = "2025-11-25",
    [MCP_2026_07_28] = "2026-07-28",
};

const char *mcp_revision_name(enum mcp_revision revision)
{
    return names[revision];
}

int mcp_revision_find(unsigned revisions, const char *name)
{
    for (int i = 0; i < MCP_REVISION_COUNT; i++) {
        if ((revisions & 1u << i) && strcmp(names[i], name) == 0) return i;
    }
    return -1;
}

int mcp_revision_latest(unsigned revisions)
{
    for (int i = MCP_REVISION_COUNT - 1; i >= 0; i--) {
        if (revisions & 1u << i) return i;
    }
    return -1;
}

bool mcp_revision_is_modern(const char *name)
{
    return strcmp(name, names[MCP_2026_07_28]) >= 0;
}
