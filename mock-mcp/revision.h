/*
 * The revisions of MCP that are spoken here. Up to 2025-11-25 a client makes a session (`initialize`); from
 * 2026-07-28 on each request stands alone and says its revision itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum mcp_revision { MCP_2025_06_18, MCP_2025_11_25, MCP_2026_07_28, MCP_REVISION_COUNT };

/* Sets of them: bit 1 << revision. */
#define MCP_REVISIONS_LEGACY (1u << MCP_2025_06_18 | 1u << MCP_2025_11_25)
#define MCP_REVISIONS_MODERN (1u << MCP_2026_07_28)
#define MCP_REVISIONS_ALL    (MCP_REVISIONS_LEGACY | MCP_REVISIONS_MODERN)

enum mcp_era { ERA_LEGACY, ERA_MODERN };

/* "2025-06-18", … */
const char *mcp_revision_name(enum mcp_revision revision);

/* The one of that name in the set, or −1. */
int mcp_revision_find(unsigned revisions, const char *name);

/* The newest of the set, or −1 for none. */
int mcp_revision_latest(unsigned revisions);

/* Whether a revision's name, known here or not, is of the era without sessions: names are dates. */
bool mcp_revision_is_modern(const char *name);
