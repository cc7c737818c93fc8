#include "sim/plan/way.h"

#include "sim/base/panic.h"

uint32_t way_between(enum role from, enum role to)
{
    enum link_id link;
    bool from_dials;

    if (plan_link_between(from, to, &link, &from_dials) < 0) return WAY_NONE;
    return WAY(link, from_dials);
}

const char *way_name(uint32_t way, enum role *ret_from, enum role *ret_to)
{
    enum role dials = ROLE_ORCHESTRATOR, listens = ROLE_PROXY;
    uint32_t link = WAY_LINK(way);

    ASSERT(way < WAY_COUNT);
    if (link < LINK_COUNT) dials = plan_link_dials((enum link_id)link, &listens);
    if (way == WAY_NONE) dials = listens = ROLE_NONE;
    *ret_from = WAY_DIALS(way) ? dials : listens;
    *ret_to = WAY_DIALS(way) ? listens : dials;
    if (way == WAY_NONE) return "none";
    return link < LINK_COUNT ? link_name((enum link_id)link) : "tunnel";
}
