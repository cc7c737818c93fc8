/*
 * What the option table says, for others: a JSON Schema for editors, a reference page for people.
 */
#pragma once

#include "sim/base/str.h"

/* The JSON Schema (draft 2020-12) of a scenario: scenarios/scenario.schema.json. -ENOMEM, -ENOSPC. */
int plan_schema(struct str *out);

/* The reference tables in Markdown: the generated part of docs/SCENARIO.md. -ENOMEM, -ENOSPC. */
int plan_reference(struct str *out);
