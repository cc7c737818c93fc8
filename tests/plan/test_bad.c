/* Every kind of wrong input, with the exact line that is printed for it. */
#include "tests/plan/plan_test.h"

/* In the small scenario, `find` is replaced; the deployment is "x". */
static const struct {
    const char *find, *replace, *error;
} bad[] = {
    {"\"name\": \"t\",", "\"name\": \"t\"",
     "s.json:4:11: /name: not valid JSON: '}' expected near '\"duration\"'"},
    {"\"name\": \"t\",", "\"name\": t,", "s.json:3:10: /name: not valid JSON: invalid token near 't'"},
    {"\"name\": \"t\",", "\"name\": \"t\", \"name\": \"u\",",
     "s.json:3:20: /name: not valid JSON: duplicate object key near '\"name\"'"},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/s\", \"rate\": \"3/s\"",
     "s.json:5:77: /load/main/rate: not valid JSON: duplicate object key near '\"rate\"'"},
    {"\"name\": \"t\",", "\"name\": \"\\ud800\",",
     "s.json:3:17: /name: not valid JSON: invalid Unicode '\\uD800' near '\"\\ud800\"'"},
    {"\"name\": \"t\",", "\"name\": \"\\u0000\",",
     "s.json:3:17: /name: a NUL character (\\u0000) is not allowed"},
    {"\"name\": \"t\",", "\"name\": \"t\377\",",
     "s.json:3:11: /name: not valid JSON: unable to decode byte 0xff near '\"t'"},
    {"\"rate\": \"2/s\"}}", "\"rate\": \"2/s\"}",
     "s.json:16:1: /load: not valid JSON: '}' expected near end of file"},
    {"windtunnel.scenario/1", "windtunnel.scenario/2",
     "s.json:2:12: /schema: this is \"windtunnel.scenario/2\"; allowed: \"windtunnel.scenario/1\""},
    {" \"schema\": \"windtunnel.scenario/1\",\n", "",
     "s.json:1:1: /: \"schema\" is missing; allowed: \"windtunnel.scenario/1\""},
    {"\"windtunnel.scenario/1\"", "1",
     "s.json:2:12: /schema: must be a string; allowed: \"windtunnel.scenario/1\""},
    {" \"name\": \"t\",\n", "",
     "s.json:1:1: /: \"name\" is missing: it is required (of the scenario, in reports)"},
    {"\"t\"", "\"\"", "s.json:3:10: /name: 0 bytes long; allowed: 1 to 64 bytes"},
    {"\"t\"", "5", "s.json:3:10: /name: must be a string, not a number"},
    {"\"name\": \"t\",", "\"name\": \"t\", \"durration\": \"1s\",",
     "s.json:3:15: /durration: unknown key \"durration\"; did you mean \"duration\"? allowed: $schema, "
     "schema, name, about, duration, drain, interval, load, scripts, orchestrator, tunnels, mcp, runners, "
     "links, hosts, faults, objectives, live, spans, deployments"},
    {"\"duration\": \"10s\",", "\"duration\": 10,",
     "s.json:4:14: /duration: must be a duration such as \"300ms\", not a number: a plain number has no "
     "unit"},
    {"\"duration\": \"10s\",", "\"duration\": 1.5,",
     "s.json:4:14: /duration: must be a duration such as \"300ms\", not a number with a fraction: a plain "
     "number has no unit"},
    {"\"duration\": \"10s\",", "\"duration\": \"10\",",
     "s.json:4:14: /duration: \"10\" has no unit (ns, us, ms, s, min, h); it must be a duration such as "
     "\"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": \"10 s\",",
     "s.json:4:14: /duration: \"10 s\" has an unknown unit (ns, us, ms, s, min, h); it must be a duration "
     "such as \"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": \"10sec\",",
     "s.json:4:14: /duration: \"10sec\" has an unknown unit (ns, us, ms, s, min, h); it must be a duration "
     "such as \"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": \"-1s\",",
     "s.json:4:14: /duration: \"-1s\" does not start with a digit; it must be a duration such as \"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": \"0s\",",
     "s.json:4:14: /duration: \"0s\" is out of range; allowed: 1ms to 48h"},
    {"\"duration\": \"10s\",", "\"duration\": \"49h\",",
     "s.json:4:14: /duration: \"49h\" is out of range; allowed: 1ms to 48h"},
    {"\"duration\": \"10s\",", "\"duration\": \"0.1ns\",",
     "s.json:4:14: /duration: \"0.1ns\" is finer than 1ns; it must be a duration such as \"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": \"99999999999999999999s\",",
     "s.json:4:14: /duration: \"99999999999999999999s\" has too many digits; it must be a duration such as "
     "\"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": null,",
     "s.json:4:14: /duration: must be a duration such as \"300ms\", not null"},
    {"\"duration\": \"10s\",", "\"duration\": \"1.s\",",
     "s.json:4:14: /duration: \"1.s\" has an unknown unit (ns, us, ms, s, min, h); it must be a duration "
     "such as \"300ms\""},
    {"\"duration\": \"10s\",", "\"duration\": [\"10s\"],",
     "s.json:4:14: /duration: must be a duration such as \"300ms\", not an array"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"drain\": \"48h\",",
     "s.json:4:30: /drain: duration and drain are more than 48h together"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"interval\": \"1ms\",",
     "s.json:4:33: /interval: \"1ms\" is out of range; allowed: 10ms to 1h"},
    {"\"duration\": \"10s\",", "\"duration\": \"40h\", \"interval\": \"10ms\",",
     "s.json:4:33: /interval: more than 200000 intervals in the run"},
    {"\"rate\": \"2/s\"", "\"rat\": \"2/s\"",
     "s.json:5:57: /load/main/rat: unknown key \"rat\"; did you mean \"rate\"? allowed: script, process, "
     "rate, ramp, users, think, sessions, start, patience"},
    {"\"rate\": \"2/s\"", "\"rate\": 2",
     "s.json:5:65: /load/main/rate: must be a rate such as \"8/s\", not a number: a plain number has no "
     "unit"},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/d\"",
     "s.json:5:65: /load/main/rate: \"2/d\" has an unknown unit (/s, /min, /h); it must be a rate such as "
     "\"8/s\""},
    {"\"rate\": \"2/s\"", "\"rate\": \"0/s\"",
     "s.json:5:65: /load/main/rate: never above 0: no session would start"},
    {"\"rate\": \"2/s\"", "\"rate\": \"1000000/s\"",
     "s.json:5:65: /load/main/rate: \"1000000/s\" is out of range; allowed: 0/h to 100000/s"},
    {"\"rate\": \"2/s\"", "\"rate\": \"0.00001/s\"",
     "s.json:5:65: /load/main/rate: \"0.00001/s\" is no whole number an hour; it must be a rate such as "
     "\"8/s\""},
    {", \"rate\": \"2/s\"", "",
     "s.json:5:19: /load/main: \"rate\" or \"ramp\" is missing: one is required with process constant or "
     "poisson"},
    {"\"process\": \"poisson\"", "\"process\": \"poison\"",
     "s.json:5:46: /load/main/process: unknown word \"poison\"; did you mean \"poisson\"? allowed: constant, "
     "poisson, closed, at-once"},
    {"\"process\": \"poisson\"", "\"process\": 1",
     "s.json:5:46: /load/main/process: must be a word, not a number; allowed: constant, poisson, closed, "
     "at-once"},
    {"\"process\": \"poisson\"", "\"process\": \"\"",
     "s.json:5:46: /load/main/process: unknown word \"\"; allowed: constant, poisson, closed, at-once"},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/s\", \"users\": 3",
     "s.json:5:72: /load/main/users: \"users\" means nothing with process constant or poisson; allowed: "
     "rate, ramp"},
    {"\"process\": \"poisson\", \"rate\": \"2/s\"", "\"process\": \"closed\"",
     "s.json:5:19: /load/main: \"users\" is missing: it is required with process closed"},
    {"\"process\": \"poisson\"", "\"process\": \"closed\"",
     "s.json:5:56: /load/main/rate: \"rate\" means nothing with process closed; allowed: users, think"},
    {"\"process\": \"poisson\", \"rate\": \"2/s\"", "\"process\": \"at-once\"",
     "s.json:5:19: /load/main: \"sessions\" is missing: at least 1 is required with process at-once"},
    {"\"script\": \"a\", ", "",
     "s.json:5:19: /load/main: \"script\" is missing: it is required (the script that these sessions run)"},
    {"\"script\": \"a\"", "\"script\": \"b\"",
     "s.json:5:30: /load/main/script: nothing in /scripts is called \"b\"; allowed: a"},
    {"\"script\": \"a\"", "\"script\": 7", "s.json:5:30: /load/main/script: must be a name, not a number"},
    {"\"rate\": \"2/s\"", "\"ramp\": [[\"0s\", \"1/s\"], [\"0s\", \"2/s\"]]",
     "s.json:5:81: /load/main/ramp/1: not later than the knot before it"},
    {"\"rate\": \"2/s\"", "\"ramp\": [[\"1s\", \"1/s\"]]",
     "s.json:5:66: /load/main/ramp/0: the first knot is at 0s"},
    {"\"rate\": \"2/s\"", "\"ramp\": []", "s.json:5:65: /load/main/ramp: 0 knots; allowed: 1 to 1000"},
    {"\"rate\": \"2/s\"", "\"ramp\": [[\"0s\"]]",
     "s.json:5:66: /load/main/ramp/0: must be a moment and a rate, such as [\"10s\", \"8/s\"]"},
    {"\"rate\": \"2/s\"", "\"ramp\": [[\"0s\", \"2\"]]",
     "s.json:5:73: /load/main/ramp/0/1: \"2\" has no unit (/s, /min, /h); it must be a rate such as \"8/s\""},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/s\", \"ramp\": [[\"0s\", \"2/s\"]]",
     "s.json:5:72: /load/main/ramp: give \"rate\" or \"ramp\", not both"},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/s\", \"start\": \"10s\"",
     "s.json:5:81: /load/main/start: not within the run's duration"},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/s\", \"patience\": \"0s\"",
     "s.json:5:84: /load/main/patience: \"0s\" is out of range; allowed: 1ms to 48h"},
    {"\"rate\": \"2/s\"", "\"rate\": \"2/s\", \"sessions\": 20000000",
     "s.json:5:84: /load/main/sessions: 20000000 is out of range; allowed: 0 to 10000000"},
    {"\"load\": {\"main\"", "\"load\": {\"ma in\"",
     "s.json:5:11: /load/ma in: \"ma in\" is no valid name; allowed: a letter or digit, then letters, "
     "digits, '.', '_' and '-'; at most 64"},
    {"\"load\": {\"main\": {\"script\": \"a\", \"process\": \"poisson\", \"rate\": \"2/s\"}}", "\"load\": {}",
     "s.json:5:10: /load: 0 elements; allowed: 1 to 64"},
    {"\"load\": {\"main\": {\"script\": \"a\", \"process\": \"poisson\", \"rate\": \"2/s\"}}", "\"load\": []",
     "s.json:5:10: /load: must be an object, not an array"},
    {"\"rate\": \"2/s\"", "\"ramp\": [[\"0s\", \"0/s\"], [\"5s\", \"0/s\"]]",
     "s.json:5:65: /load/main/ramp: never above 0: no session would start"},
    {"\"tool\": \"bash\", ", "",
     "s.json:7:29: /scripts/a/turns/0/steps/0/calls/0: \"tool\" or \"mcp\" is missing: one is required"},
    {"\"tool\": \"bash\"", "\"tool\": \"bsh\"",
     "s.json:7:38: /scripts/a/turns/0/steps/0/calls/0/tool: unknown word \"bsh\"; did you mean \"bash\"? "
     "allowed: bash, read"},
    {", \"execution\": \"1s\"", "",
     "s.json:7:29: /scripts/a/turns/0/steps/0/calls/0: \"execution\" is missing: it is required with tool "
     "bash"},
    {", \"output\": 10", "",
     "s.json:7:29: /scripts/a/turns/0/steps/0/calls/0: \"output\" is missing: it is required with tool bash"},
    {"{\"mcp\": \"m\"}", "{\"mcp\": \"n\"}",
     "s.json:8:37: /scripts/a/turns/0/steps/1/calls/0/mcp: nothing in /mcp is called \"n\"; allowed: m"},
    {"{\"mcp\": \"m\"}", "{\"mcp\": \"m\", \"tool\": \"bash\"}",
     "s.json:8:30: /scripts/a/turns/0/steps/1/calls/0/mcp: give \"tool\" or \"mcp\", not both"},
    {"{\"mcp\": \"m\"}", "{\"mcp\": \"m\", \"execution\": \"1s\"}",
     "s.json:8:42: /scripts/a/turns/0/steps/1/calls/0/execution: \"execution\" means nothing with \"mcp\": "
     "the server's service_time counts"},
    {"{\"tool\": \"read\"}", "{\"tool\": \"read\", \"output\": 1}",
     "s.json:8:60: /scripts/a/turns/0/steps/1/calls/1/output: \"output\" means nothing with tool read"},
    {"\"calls\": [{\"tool\": \"bash\", \"execution\": \"1s\", \"output\": 10}]",
     "\"calls\": [{\"tool\": \"read\"}]",
     "s.json:7:3: /scripts/a/turns/0/steps/0: the first step has nothing to read: tool read reads what the "
     "step before it spilled"},
    {"\"calls\": [{\"tool\": \"bash\", \"execution\": \"1s\", \"output\": 10}]", "\"calls\": []",
     "s.json:7:28: /scripts/a/turns/0/steps/0/calls: 0 elements; allowed: 1 to 256"},
    {"\"output\": 10", "\"output\": 1.5",
     "s.json:7:75: /scripts/a/turns/0/steps/0/calls/0/output: must be a whole number, or a distribution of "
     "whole numbers, not a number with a fraction"},
    {"\"output\": 10", "\"output\": \"10\"",
     "s.json:7:75: /scripts/a/turns/0/steps/0/calls/0/output: must be a whole number, or a distribution of "
     "whole numbers, not a string"},
    {"\"output\": 10", "\"output\": -1",
     "s.json:7:75: /scripts/a/turns/0/steps/0/calls/0/output: -1 is out of range; allowed: 0 to 64000000"},
    {"\"model\": \"1s\", \"calls\": [{\"tool\": \"bash\"",
     "\"repeat\": 0, \"model\": \"1s\", \"calls\": [{\"tool\": \"bash\"",
     "s.json:7:14: /scripts/a/turns/0/steps/0/repeat: 0 is out of range; allowed: 1 to 10000"},
    {"\"model\": \"1s\", \"calls\": [{\"tool\": \"bash\"",
     "\"repeat\": 10000, \"model\": \"1s\", \"calls\": [{\"tool\": \"bash\"",
     "s.json:6:40: /scripts/a/turns/0/steps: 10001 steps with all copies; allowed: at most 10000"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"uniform\": [\"2s\", \"1s\"]}",
     "s.json:11:46: /runners/r/cold_start/uniform: the first value is larger than the second"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"uniform\": [\"1s\"]}",
     "s.json:11:46: /runners/r/cold_start/uniform: must be two values, the smallest and the largest"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"unifrom\": [\"1s\", \"2s\"]}",
     "s.json:11:35: /runners/r/cold_start/unifrom: unknown key \"unifrom\"; did you mean \"uniform\"? "
     "allowed: uniform, exponential, quantiles, profile, regime, scale, of"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {}",
     "s.json:11:34: /runners/r/cold_start: an empty object is no distribution; allowed: uniform, "
     "exponential, quantiles, profile, scale"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"exponential\": 5}",
     "s.json:11:50: /runners/r/cold_start/exponential: must be a duration such as \"300ms\", not a number: a "
     "plain number has no unit"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"quantiles\": {\"0\": \"1s\", \"50\": \"2s\"}}",
     "s.json:11:66: /runners/r/cold_start/quantiles/50: \"50\" is no share; allowed: \"0%\" to \"100%\""},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"quantiles\": {\"50%\": \"1s\", \"0\": \"2s\"}}",
     "s.json:11:67: /runners/r/cold_start/quantiles/0: not above the share before it"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"quantiles\": {\"0\": \"2s\", \"50%\": \"1s\"}}",
     "s.json:11:67: /runners/r/cold_start/quantiles/50%: less than the value before it"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"quantiles\": {}}",
     "s.json:11:48: /runners/r/cold_start/quantiles: must be 1 to 32 quantiles such as {\"0%\": …, \"50%\": "
     "…, \"100%\": …}"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"quantiles\": {\"101%\": \"1s\"}}",
     "s.json:11:57: /runners/r/cold_start/quantiles/101%: \"101%\" is no share; allowed: \"0%\" to \"100%\""},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"profile\": \"modl\"}",
     "s.json:11:34: /runners/r/cold_start: the provider profiles know no provider \"modl\"; did you mean "
     "\"modal\"? allowed: archil, blaxel, cloudflare, codesandbox, daytona, declaw, e2b, hopx, modal, "
     "namespace, runloop, upstash, vercel"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"profile\": \"modal\", \"regime\": \"brust\"}",
     "s.json:11:34: /runners/r/cold_start: the provider profiles know no regime \"brust\"; did you mean "
     "\"burst\"? allowed: sequential, burst"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"scale\": \"120%\"}",
     "s.json:11:34: /runners/r/cold_start: \"of\" is missing: what is to be scaled"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"scale\": \"0%\", \"of\": \"1s\"}",
     "s.json:11:44: /runners/r/cold_start/scale: \"0%\" is out of range; allowed: 0.0001% to 10000%"},
    {"\"cold_start\": \"1s\"",
     "\"cold_start\": {\"scale\": \"200%\", \"of\": {\"scale\": \"2%\", \"of\": \"1s\"}}",
     "s.json:11:58: /runners/r/cold_start/of: a scale of a scale; multiply them"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"scale\": \"200%\", \"of\": \"50min\"}",
     "s.json:11:34: /runners/r/cold_start: out of range once scaled"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"uniform\": [\"1s\", \"2s\"], \"exponential\": \"1s\"}",
     "s.json:11:60: /runners/r/cold_start/exponential: \"exponential\" means nothing beside \"uniform\""},
    {"\"output\": 10", "\"output\": {\"profile\": \"modal\"}",
     "s.json:7:87: /scripts/a/turns/0/steps/0/calls/0/output/profile: profiles hold durations, not counts"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": {\"of\": \"1s\"}",
     "s.json:11:34: /runners/r/cold_start: \"of\" alone is no distribution"},
    {"\"cold_start\": \"1s\"", "",
     "s.json:11:19: /runners/r: \"cold_start\" is missing: it is required (time until a new sandbox is "
     "ready; default: the provider's measurements)"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"prewarmed\": 1",
     "s.json:11:19: /runners/r: \"warm_start\" is missing: it is required with prewarmed sandboxes, nothing "
     "is guessed"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"warm\": 1",
     "s.json:11:19: /runners/r: \"warm_start\" is missing: it is required with warm sandboxes, nothing is "
     "guessed"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"instances\": 3, \"parallel_per_tenant\": 2",
     "s.json:11:79: /runners/r/parallel_per_tenant: less than one sandbox for each of 3 instances; allowed: "
     "0, "
     "or at least as many"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"poll_block\": \"1s\"",
     "s.json:11:54: /runners/r/poll_block: \"1s\" is out of range; allowed: 1ms to 999ms"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"poll_pause\": [\"3s\", \"1s\"]",
     "s.json:11:54: /runners/r/poll_pause: the first duration is longer than the second"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"poll_pause\": \"1s\"",
     "s.json:11:54: /runners/r/poll_pause: must be two durations such as [\"1s\", \"3s\"]"},
    {"\"cold_start\": \"1s\"", "\"provider\": \"nobody\"",
     "s.json:11:32: /runners/r/provider: the provider profiles know no provider \"nobody\"; allowed: "
     "archil, blaxel, cloudflare, codesandbox, daytona, declaw, e2b, hopx, modal, namespace, runloop, "
     "upstash, vercel"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"on_limit\": \"drop\"",
     "s.json:11:52: /runners/r/on_limit: unknown word \"drop\"; allowed: queue, shed"},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"price_per_sandbox_second\": \"0.1\"",
     "s.json:11:68: /runners/r/price_per_sandbox_second: \"0.1\" does not start with $; it must be a price "
     "such as \"$0.0000142\""},
    {"\"cold_start\": \"1s\"", "\"cold_start\": \"1s\", \"price_per_sandbox_second\": \"$0.00000000001\"",
     "s.json:11:68: /runners/r/price_per_sandbox_second: \"$0.00000000001\" is finer than $0.000000001; it "
     "must be a price such as \"$0.0000142\""},
    {"\"runners\": {\"r\": {\"cold_start\": \"1s\"}}", "\"runners\": {}",
     "s.json:1:1: /: /runners is empty, but the script \"a\" calls tools in a sandbox"},
    {"\"mcp\": {\"m\"", "\"mcp\": {\"M\": {\"service_time\": \"1s\"}, \"m\"",
     "s.json:10:10: /mcp/M: \"M\" is no valid name; allowed: a part of a host name: a-z, 0-9, and '-' "
     "inside; at most 32"},
    {"\"5ms\"", "\"5ms\", \"error_rate\": \"0.5\"",
     "s.json:10:53: /mcp/m/error_rate: \"0.5\" has no percent sign; it must be a share such as \"0.5%\""},
    {"\"5ms\"", "\"5ms\", \"error_rate\": \"101%\"",
     "s.json:10:53: /mcp/m/error_rate: \"101%\" is out of range; allowed: 0% to 100%"},
    {"\"5ms\"", "\"5ms\", \"error_rate\": 0.5",
     "s.json:10:53: /mcp/m/error_rate: must be a share such as \"0.5%\", not a number with a fraction: a "
     "plain number has no unit"},
    {"{\"service_time\": \"5ms\"}", "{}",
     "s.json:10:15: /mcp/m: \"service_time\" is missing: it is required (time to answer one call)"},
    {"\"duration\": \"10s\",",
     "\"duration\": \"10s\", \"orchestrator\": {\"mcp\": {\"retry\": {\"on\": [\"rset\"]}}},",
     "s.json:4:63: /orchestrator/mcp/retry/on/0: unknown word \"rset\"; did you mean \"reset\"? allowed: "
     "reset, 5xx, 429, timeout"},
    {"\"duration\": \"10s\",",
     "\"duration\": \"10s\", \"orchestrator\": {\"mcp\": {\"retry\": {\"on\": [\"reset\", \"reset\"]}}},",
     "s.json:4:72: /orchestrator/mcp/retry/on/1: \"reset\" is given twice"},
    {"\"duration\": \"10s\",",
     "\"duration\": \"10s\", \"orchestrator\": {\"mcp\": {\"retry\": {\"base\": \"9s\"}}},",
     "s.json:4:64: /orchestrator/mcp/retry/base: longer than cap"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"orchestrator\": {\"durable\": \"yes\"},",
     "s.json:4:49: /orchestrator/durable: must be true or false, not a string"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"orchestrator\": {\"read_piece\": 200000},",
     "s.json:4:52: /orchestrator/read_piece: longer than spill_threshold: what is read back would be spilled "
     "again"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"orchestrator\": {\"lease_ttl\": \"2h\"},",
     "s.json:4:51: /orchestrator/lease_ttl: longer than lease_ttl_max"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"links\": {\"proxy-mcp\": {\"rate\": \"100\"}},",
     "s.json:4:53: /links/proxy-mcp/rate: \"100\" has no unit (B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s, "
     "kbit/s, Mbit/s, Gbit/s); it must be a bandwidth such as \"100MB/s\", or \"unlimited\""},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"links\": {\"proxy-mcp\": {\"rate\": \"0MB/s\"}},",
     "s.json:4:53: /links/proxy-mcp/rate: \"0MB/s\" is 0; write \"unlimited\", or use a cut or a stall; it "
     "must be a bandwidth such as \"100MB/s\", or \"unlimited\""},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"links\": {\"mcp-proxy\": {}},",
     "s.json:4:31: /links/mcp-proxy: unknown key \"mcp-proxy\"; allowed: client-orchestrator, "
     "runner-orchestrator, orchestrator-edge, connector-edge, connector-proxy, proxy-mcp, orchestrator-mcp"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"hosts\": {\"gateway\": {}},",
     "s.json:4:31: /hosts/gateway: unknown key \"gateway\"; allowed: mcp, orchestrator, edge, proxy, "
     "connector, runner, client"},
    {"\"duration\": \"10s\",", "\"duration\": \"10s\", \"hosts\": {\"mcp\": {\"cores\": 5000}},",
     "s.json:4:48: /hosts/mcp/cores: 5000 is out of range; allowed: 0 to 1024"},
    {"\"count\": 2", "\"count\": 0",
     "s.json:14:53: /deployments/x/set/tunnels/count: 0 is out of range; allowed: 1 to 1000000"},
    {"\"count\": 2", "\"count\": 1000000, \"replicas\": 64",
     "s.json:14:43: /deployments/x/set/tunnels: 64000000 gateways (count x replicas); allowed: at most "
     "16777215"},
    {"\"count\": 2", "\"cuont\": 2",
     "s.json:14:44: /deployments/x/set/tunnels/cuont: unknown key \"cuont\"; did you mean \"count\"? "
     "allowed: count, replicas, connections, spacing, register_timeout, grace, streams, "
     "domain, detect, upstream_connections, backoff"},
    {"\"tunnels\": {\"count\": 2}", "\"name\": \"z\"",
     "s.json:14:32: /deployments/x/set/name: \"name\" is the same for all deployments"},
    {"\"tunnels\": {\"count\": 2}", "\"load\": {\"main\": {\"rate\": \"9\"}}",
     "s.json:14:58: /deployments/x/set/load/main/rate: \"9\" has no unit (/s, /min, /h); it must be a rate "
     "such as \"8/s\""},
    {"{\"set\": {\"tunnels\": {\"count\": 2}}}", "{\"set\": []}",
     "s.json:14:31: /deployments/x/set: must be an object: a merge patch"},
    {"{\"set\": {\"tunnels\": {\"count\": 2}}}", "{\"sett\": {}}",
     "s.json:14:24: /deployments/x/sett: unknown key \"sett\"; did you mean \"set\"? allowed: informational, "
     "about, set"},
    {"{\"set\": {\"tunnels\": {\"count\": 2}}}", "7", "s.json:14:23: /deployments/x: must be an object"},
    {"\"y\": {", "\"all\": {",
     "s.json:14:59: /deployments/all: \"all\" is no valid name; allowed: a letter or digit, then letters, "
     "digits, '.', '_' and '-'; at most 64; not \"all\""},
    {"\"informational\": true", "\"informational\": 1",
     "s.json:14:82: /deployments/y/informational: must be true or false, not a number"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"target\": \"edge\"}",
     "s.json:12:13: /faults/0: \"at\" is missing: it is required (when, from the start of the run)"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kil\", \"at\": \"1s\"}",
     "s.json:12:22: /faults/0/kind: unknown word \"kil\"; did you mean \"kill\"? allowed: kill, cut, stall, "
     "half-open, delay, rate, answer, worker-crash, restart"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\"}",
     "s.json:12:13: /faults/0: \"target\" is missing: it is required with kind kill"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"10s\", \"target\": \"edge\"}",
     "s.json:12:36: /faults/0/at: not within the run; allowed: 0s to below 10s"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"9s\", \"for\": \"12s\", \"target\": \"edge\"}",
     "s.json:12:49: /faults/0/for: not over within the run; at + for is at most 20s"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"gateway\"}",
     "s.json:12:52: /faults/0/target: \"gateway\" does not say which; add /N, /N-M or /*; allowed: "
     "orchestrator, edge, mcp/NAME, gateway/N, connector/N, proxy/N, runner/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"gateway/2\"}",
     "s.json:12:52: /faults/0/target: \"gateway/2\": there are only 2; allowed: 0 to 1"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"gateway/1-0\"}",
     "s.json:12:52: /faults/0/target: \"gateway/1-0\" names no instances; write /N, /N-M or /*; allowed: "
     "orchestrator, edge, mcp/NAME, gateway/N, connector/N, proxy/N, runner/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"edge/0\"}",
     "s.json:12:52: /faults/0/target: \"edge/0\" has no instances, there is only one; allowed: orchestrator, "
     "edge, mcp/NAME, gateway/N, connector/N, proxy/N, runner/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"mcp/n\"}",
     "s.json:12:52: /faults/0/target: nothing in /mcp is called \"n\"; allowed: m"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"moon\"}",
     "s.json:12:52: /faults/0/target: \"moon\" is no target; allowed: orchestrator, edge, mcp/NAME, "
     "gateway/N, connector/N, proxy/N, runner/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"client\"}",
     "s.json:12:52: /faults/0/target: \"client\" cannot be hit by this kind; allowed: orchestrator, edge, "
     "mcp/NAME, gateway/N, connector/N, proxy/N, runner/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"kill\", \"at\": \"1s\", \"target\": \"edge\", \"delay\": \"1s\"}",
     "s.json:12:60: /faults/0/delay: \"delay\" means nothing with kind kill"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"cut\", \"at\": \"1s\", \"for\": \"1s\"}",
     "s.json:12:13: /faults/0: \"link\" is missing: it is required with kind cut"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"cut\", \"at\": \"1s\", \"for\": \"1s\", \"link\": \"orchestrator-mcp\"}",
     "s.json:12:62: /faults/0/link: this deployment does not use \"orchestrator-mcp\": its MCP servers are "
     "reached through tunnels (/orchestrator/mcp/direct is false)"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"cut\", \"at\": \"1s\", \"for\": \"1s\", \"link\": \"conector-edge\"}",
     "s.json:12:62: /faults/0/link: unknown word \"conector-edge\"; did you mean \"connector-edge\"? "
     "allowed: client-orchestrator, runner-orchestrator, orchestrator-edge, connector-edge, connector-proxy, "
     "proxy-mcp, orchestrator-mcp"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"cut\", \"at\": \"1s\", \"for\": \"1s\", \"link\": \"connector-edge\", \"target\": "
     "\"runner/0\"}",
     "s.json:12:90: /faults/0/target: \"runner/0\" is not the first-named side of the link; allowed: "
     "connector"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"delay\", \"at\": \"1s\", \"for\": \"1s\", \"link\": \"connector-edge\"}",
     "s.json:12:13: /faults/0: \"delay\" is missing: it is required with kind delay"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"answer\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"mcp/m\", \"status\": 200}",
     "s.json:12:86: /faults/0/status: 200 is out of range; allowed: 400 to 599"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"answer\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"connector/0\", \"status\": 503}",
     "s.json:12:67: /faults/0/target: \"connector/0\" cannot be hit by this kind; allowed: orchestrator, "
     "edge, mcp/NAME, gateway/N, proxy/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"restart\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "s.json:12:52: /faults/0/for: not over within the run; at + /tunnels/grace + 100ms + for is at most "
     "20s"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"restart\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"runner/0\"}",
     "s.json:12:68: /faults/0/target: \"runner/0\" cannot be hit by this kind; allowed: edge, gateway/N, "
     "connector/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"worker-crash\", \"at\": \"1s\", \"target\": \"edge\"}",
     "s.json:12:60: /faults/0/target: \"edge\" cannot be hit by this kind; allowed: runner/N"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}",
     "{\"kind\": \"rate\", \"at\": \"1s\", \"for\": \"1s\", \"link\": \"proxy-mcp\", \"rate\": "
     "\"unlimited\"}",
     "s.json:12:84: /faults/0/rate: \"unlimited\" is out of range; allowed: at least 1B/s"},
    {"{\"kind\": \"kill\", \"at\": \"1s\", \"for\": \"1s\", \"target\": \"gateway/0\"}", "\"kill\"",
     "s.json:12:13: /faults/0: must be an object, not a string"},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.cal) < 2s\"",
     "s.json:13:17: /objectives/0: unknown subject \"mcp.cal\"; did you mean \"mcp.call\"? allowed: "
     "mcp.call, tool.call, session.total"},
    {"\"p99(mcp.call) < 2s\"", "\"p101(mcp.call) < 2s\"",
     "s.json:13:17: /objectives/0: the percentile \"p101\" is out of range; allowed: above p0 to p100"},
    {"\"p99(mcp.call) < 2s\"", "\"p0(mcp.call) < 2s\"",
     "s.json:13:17: /objectives/0: the percentile \"p0\" is out of range; allowed: above p0 to p100"},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.call) < 2\"",
     "s.json:13:17: /objectives/0: the value \"2\" has no unit (ns, us, ms, s, min, h); it must be a "
     "duration such as 300ms"},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.call) =< 2s\"",
     "s.json:13:17: /objectives/0: unknown comparison \"=<\"; allowed: <, <=, ==, !=, >=, >"},
    {"\"p99(mcp.call) < 2s\"", "\"p99 mcp.call < 2s\"",
     "s.json:13:17: /objectives/0: \"p99 mcp.call < 2s\" is no objective; it must be function(subject) "
     "comparison value, such as \"p99(mcp.call) < 2s\""},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.call) < 2s or so\"",
     "s.json:13:17: /objectives/0: \"p99(mcp.call) < 2s or so\" is no objective; it must be "
     "function(subject) comparison value, such as \"p99(mcp.call) < 2s\""},
    {"\"p99(mcp.call) < 2s\"", "\"avg(mcp.call) < 2s\"",
     "s.json:13:17: /objectives/0: unknown function \"avg\"; allowed: mean, max, min, count, rate, ratio, "
     "p50, p90, p99, p99.9"},
    {"\"p99(mcp.call) < 2s\"", "\"count(call.losst) == 0\"",
     "s.json:13:17: /objectives/0: unknown subject \"call.losst\"; did you mean \"call.lost\"? allowed: "
     "call.lost, call.failed, session.completed, retries, mcp.call, tool.call, session.total"},
    {"\"p99(mcp.call) < 2s\"", "\"count(call.lost) == 0%\"",
     "s.json:13:17: /objectives/0: the value \"0%\" is no whole number; it must be a whole number"},
    {"\"p99(mcp.call) < 2s\"", "\"ratio(mcp.call) < 1%\"",
     "s.json:13:17: /objectives/0: unknown subject \"mcp.call\"; allowed: call.lost, call.failed, "
     "session.completed"},
    {"\"p99(mcp.call) < 2s\"", "\"ratio(call.failed) < 0.1\"",
     "s.json:13:17: /objectives/0: the value \"0.1\" has no percent sign; it must be a share such as 0.1%"},
    {"\"p99(mcp.call) < 2s\"", "\"rate(session.completed) >= 5\"",
     "s.json:13:17: /objectives/0: the value \"5\" has no unit (/s, /min, /h); it must be a rate such as "
     "5/s"},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.call{server=n}) < 2s\"",
     "s.json:13:17: /objectives/0: unknown server \"n\"; allowed: m"},
    {"\"p99(mcp.call) < 2s\"", "\"max(tool.call{tool=write}) < 2s\"",
     "s.json:13:17: /objectives/0: unknown tool \"write\"; allowed: bash, read, mcp"},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.call{script=a}) < 2s\"",
     "s.json:13:17: /objectives/0: unknown subject \"mcp.call{script=a}\"; allowed with braces: "
     "tool.call{tool=NAME}, "
     "mcp.call{server=NAME}, session.total{script=NAME}"},
    {"\"p99(mcp.call) < 2s\"", "\"p99(mcp.call{server=m) < 2s\"",
     "s.json:13:17: /objectives/0: unknown subject \"mcp.call{server=m\"; allowed with braces: "
     "tool.call{tool=NAME}, "
     "mcp.call{server=NAME}, session.total{script=NAME}"},
    {"\"p99(mcp.call) < 2s\"", "\"ratio(mcp.call{server=m}) < 2%\"",
     "s.json:13:17: /objectives/0: ratio is of an end of the ledger, such as call.lost"},
    {"\"p99(mcp.call) < 2s\"", "3", "s.json:13:17: /objectives/0: must be a string, not a number"},
    {"\"p99(mcp.call) < 2s\"", "\"\"", "s.json:13:17: /objectives/0: 0 bytes long; allowed: 1 to 200 bytes"},
};

START_TEST(test_bad_input)
{
    CLEANUP(cleanup_free_p) char *text = replaced(small_scenario, bad[_i].find, bad[_i].replace);
    struct plan_load_options options = text_options(text);
    struct plan_error error = {""};
    struct plan *plan = NULL;

    options.deployment = "x";
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_str_eq(error.text, bad[_i].error);
    ck_assert_ptr_null(plan);
}
END_TEST

/* --set -----------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *set, *error;
} bad_sets[] = {
    {"load", "--set load: load: is not of the form /json/pointer=value"},
    {"/load", "--set /load: /load: is not of the form /json/pointer=value"},
    {"/duration=10",
     "--set /duration=10: /duration: must be a duration such as \"300ms\", not a number: a plain "
     "number has no unit"},
    {"/load/main/rate=8",
     "--set /load/main/rate=8: /load/main/rate: must be a rate such as \"8/s\", not a number: "
     "a plain number has no unit"},
    {"/load/main/rat=8/s",
     "--set /load/main/rat=8/s: /load/main/rat: unknown key \"rat\"; did you mean \"rate\"? "
     "allowed: script, process, rate, ramp, users, think, sessions, start, patience"},
    {"/tunels/count=3", "--set /tunels/count=3: /tunels: unknown key \"tunels\"; did you mean \"tunnels\"? "
                        "allowed: $schema, schema, "
                        "name, about, duration, drain, interval, load, scripts, orchestrator, tunnels, mcp, "
                        "runners, links, hosts, "
                        "faults, objectives, live, spans, deployments"},
    {"/faults/7/at=1s", "--set /faults/7/at=1s: /faults/7/at: the pointer names no element of the array"},
    {"/faults/2={}",
     "--set /faults/2={}: /faults/2: the pointer names no element of the array; \"-\" appends one"},
    {"/faults/-={}",
     "--set /faults/-={}: /faults/1: \"kind\" is missing: it is required (kill: the target dies; "
     "cut, stall, half-open, delay, rate: of a link; answer: the target answers with a status; "
     "worker-crash: workers vanish after they acknowledged an item; restart: the target is told to stop, and "
     "dies after /tunnels/grace)"},
    {"/name/x=1",
     "--set /name/x=1: /name/x: the pointer leads through something that is neither object nor array"},
    {"/a~2b=1",
     "--set /a~2b=1: /a~2b: the pointer has a segment that is too long, or a ~ without 0 or 1 behind it"},
    {"/deployments/x/set/tunnels/count=0",
     "--set /deployments/x/set/tunnels/count=0: "
     "/deployments/x/set/tunnels/count: 0 is out of range; allowed: 1 to "
     "1000000"},
    {"/load/main/rate=null",
     "--set /load/main/rate=null: /load/main: \"rate\" or \"ramp\" is missing: one is "
     "required with process constant or poisson"},
    {"/load=null",
     "--set /load=null: /: \"load\" is missing: it is required (who starts sessions, and when)"},
    {"/schema=x", "--set /schema=x: /schema: this is \"x\"; allowed: \"windtunnel.scenario/1\""},
};

START_TEST(test_bad_set)
{
    struct plan_load_options options = text_options(small_scenario);
    struct plan_error error = {""};
    struct plan *plan = NULL;

    options.sets = &bad_sets[_i].set;
    options.set_count = 1;
    options.deployment = "x";
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_str_eq(error.text, bad_sets[_i].error);
}
END_TEST

/* In the small scenario, `find` is replaced, and then one value is set that does not go with another; the
 * deployment is "y". What is set but has no part in it is not named. */
static const struct {
    const char *find, *replace, *set, *error;
} set_against[] = {
    {"\"10s\",", "\"10s\", \"drain\": \"20s\",", "/duration=48h",
     "--set /duration=48h: /drain: duration and drain are more than 48h together"},
    {"\"10s\",", "\"48h\", \"drain\": \"20s\",", "/interval=1min",
     "s.json:4:30: /drain: duration and drain are more than 48h together"},
    {"\"10s\",", "\"10s\", \"interval\": \"10ms\",", "/duration=40h",
     "--set /duration=40h: /interval: more than 200000 intervals in the run"},
    {"\"10s\",", "\"10s\", \"tunnels\": {\"count\": 1000000},", "/tunnels/replicas=64",
     "--set /tunnels/replicas=64: /tunnels: 64000000 gateways (count x replicas); allowed: at most "
     "16777215"},
    {"\"10s\",", "\"10s\", \"tunnels\": {\"count\": 1000000, \"replicas\": 64},", "/tunnels/grace=1s",
     "s.json:4:32: /tunnels: 64000000 gateways (count x replicas); allowed: at most 16777215"},
    {"\"10s\",", "\"10s\", \"tunnels\": {\"count\": 1000000},", "/tunnels/connections=64",
     "--set /tunnels/connections=64: /tunnels: 64000000 connections (count x replicas x connections); "
     "allowed: at most 16000000"},
    {"\"rate\": \"2/s\"", "\"patience\": \"5s\"", "/load/main/patience=null",
     "s.json:5:19: /load/main: \"rate\" or \"ramp\" is missing: one is required with process constant or "
     "poisson"},
    {"\"2/s\"", "\"2/s\", \"start\": \"5s\"", "/duration=5s",
     "--set /duration=5s: /load/main/start: not within the run's duration"},
    {"\"10s\"", "\"10min\"", "/load/main/rate=100000/s",
     "--set /load/main/rate=100000/s: /load/main: 60000000 sessions or more in all; allowed: at most "
     "10000000"},
    {"\"10s\"", "\"10s\"", "/duration=1s",
     "--set /duration=1s: /faults/0/at: not within the run; allowed: 0s to below 1s"},
    {"\"for\": \"1s\"", "\"for\": \"15s\"", "/drain=5s",
     "--set /drain=5s: /faults/0/for: not over within the run; at + for is at most 15s"},
    {"\"for\": \"1s\"", "\"for\": \"25s\"", "/tunnels/grace=1s",
     "s.json:12:49: /faults/0/for: not over within the run; at + for is at most 20s"},
    {"\"kill\", \"at\": \"1s\", \"for\": \"1s\"", "\"restart\", \"at\": \"1s\", \"for\": \"1s\"",
     "/tunnels/grace=1min",
     "--set /tunnels/grace=1min: /faults/0/for: not over within the run; at + /tunnels/grace + 100ms + for "
     "is at most 20s"},
    {"\"10s\"", "\"10s\", \"orchestrator\": {\"preview\": 1000}", "/orchestrator/spill_threshold=500",
     "--set /orchestrator/spill_threshold=500: /orchestrator/preview: longer than spill_threshold: a preview "
     "is "
     "the start of a spilled output"},
};

START_TEST(test_set_against)
{
    CLEANUP(cleanup_free_p)
    char *text = replaced(small_scenario, set_against[_i].find, set_against[_i].replace);
    struct plan_load_options options = text_options(text);
    struct plan_error error = {""};
    struct plan *plan = NULL;

    options.sets = &set_against[_i].set;
    options.set_count = 1;
    options.deployment = "y";
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_str_eq(error.text, set_against[_i].error);
}
END_TEST

START_TEST(test_deep_set)
{
    CLEANUP(cleanup_free_p) char *set = calloc(1, 2000);
    struct plan_load_options options = text_options(small_scenario);
    struct plan_error error = {""};
    struct plan *plan = NULL;

    for (int i = 0; i < 400; i++) strcat(set, "/a");
    strcat(set, "=1");
    options.sets = (const char *const *)&set;
    options.set_count = 1;
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "the pointer is too deep"));
}
END_TEST

/* Whole files -----------------------------------------------------------------------------------------------
 */

static void expect(const struct plan_load_options *options, const char *line)
{
    struct plan_error error = {""};
    struct plan *plan = NULL;

    ck_assert_int_eq(plan_load(options, &plan, &error), PLAN_E_INVALID);
    ck_assert_str_eq(error.text, line);
}

START_TEST(test_unreadable)
{
    struct plan_load_options options = {.path = "/nonexistent/s.json"};

    expect(&options, "/nonexistent/s.json: cannot be read: No such file or directory");
    options.path = "/";
    expect(&options, "/: cannot be read: Is a directory");
}
END_TEST

START_TEST(test_not_an_object)
{
    struct plan_load_options options = text_options("[]");

    expect(&options, "s.json:1:1: /: a scenario is a JSON object");
    options.text = "";
    expect(&options, "s.json:1:1: /: not valid JSON: unexpected token near end of file");
    options.text = "{} x";
    expect(&options, "s.json:1:4: /: not valid JSON: end of file expected near 'x'");
}
END_TEST

START_TEST(test_too_large)
{
    CLEANUP(cleanup_free_p) char *text = malloc(PLAN_FILE_BYTES_MAX + 2);
    struct plan_load_options options = text_options(text);

    memset(text, ' ', PLAN_FILE_BYTES_MAX + 1);
    text[PLAN_FILE_BYTES_MAX + 1] = '\0';
    expect(&options, "s.json: larger than 4 MiB");
}
END_TEST

static char *nested(int levels, char open, char close)
{
    char *text = calloc(1, (size_t)levels * 2 + 20);

    strcpy(text, "{\"a\":");
    memset(text + 5, open, (size_t)levels);
    memset(text + 5 + levels, close, (size_t)levels);
    text[5 + 2 * levels] = '}';
    return text;
}

START_TEST(test_too_deep)
{
    CLEANUP(cleanup_free_p) char *some = nested(40, '[', ']'), *many = nested(100000, '[', ']');
    struct plan_load_options options = text_options(some);
    struct plan_error error;
    struct plan *plan;

    expect(&options, "s.json:1:1: /: nested deeper than 32 levels");
    options.text = many;
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "not valid JSON: maximum parsing depth reached"));
}
END_TEST

START_TEST(test_unknown_deployment)
{
    struct plan_load_options options = text_options(small_scenario);

    options.deployment = "xx";
    expect(&options, "s.json:14:17: /deployments: there is no deployment \"xx\"; allowed: x, y");
}
END_TEST

START_TEST(test_too_many_sessions)
{
    static const char *const sets[] = {"/duration=1h", "/load/main/rate=100000/s"};
    struct plan_load_options options = text_options(small_scenario);

    options.sets = sets;
    options.set_count = 2;
    expect(&options,
           "--set /load/main/rate=100000/s: /load/main: 360000000 sessions or more in all; allowed: "
           "at most 10000000");
}
END_TEST

START_TEST(test_no_profile)
{
    CLEANUP(cleanup_free_p)
    char *text = replaced(small_scenario, "\"cold_start\": \"1s\"", "\"provider\": \"modal\"");
    struct plan_load_options options = text_options(text);

    options.path = "/nonexistent/s.json";
    options.profiles_dir = "/nonexistent";
    expect(&options, "/nonexistent/s.json:11:19: /runners/r/cold_start: there is no profile file: looked for "
                     "/nonexistent/profiles/sandbox-tti.json and /nonexistent/sandbox-tti.json");
}
END_TEST

START_TEST(test_seed_range)
{
    struct plan_load_options options = text_options(small_scenario);

    options.seed = UINT64_C(1) << 63;
    expect(&options, "s.json:1:1: /: the seed is 2^63 or more");
}
END_TEST

/* What others wrote must not break the line. */
START_TEST(test_one_line)
{
    static const char text[] = "{\"schema\": \"windtunnel.scenario/1\", \"a\\n\\u001b\\u007f/~b\": 1}";
    struct plan_load_options options = text_options(text);
    struct plan_error error = {""};
    struct plan *plan = NULL;

    options.path = "odd\nname\x1b[0m.json";
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_int_eq(strncmp(error.text,
                             "odd?name?[0m.json:1:37: /a??"
                             "?~1~0b: unknown key \"a??"
                             "?/~b\"",
                             56),
                     0);
    for (const char *p = error.text; *p; p++) ck_assert_uint_ge((unsigned char)*p, 0x20);
}
END_TEST

START_TEST(test_long_names)
{
    CLEANUP(cleanup_free_p) char *text = malloc(200100);
    struct plan_load_options options = text_options(text);
    struct plan_error error = {""};
    struct plan *plan = NULL;

    memset(text, 'k', 200100);
    memcpy(text, "{\"schema\": \"windtunnel.scenario/1\", \"", 37);
    strcpy(text + 200000, "\": 1}");
    ck_assert_int_eq(plan_load(&options, &plan, &error), PLAN_E_INVALID);
    ck_assert_uint_lt(strlen(error.text), PLAN_ERROR_BYTES);
    ck_assert_ptr_nonnull(strstr(error.text, "unknown key \"kkkk"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bad scenarios");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, test_bad_input, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_loop_test(tc, test_bad_set, 0, sizeof(bad_sets) / sizeof(bad_sets[0]));
    tcase_add_loop_test(tc, test_set_against, 0, sizeof(set_against) / sizeof(set_against[0]));
    tcase_add_test(tc, test_deep_set);
    tcase_add_test(tc, test_unreadable);
    tcase_add_test(tc, test_not_an_object);
    tcase_add_test(tc, test_too_large);
    tcase_add_test(tc, test_too_deep);
    tcase_add_test(tc, test_unknown_deployment);
    tcase_add_test(tc, test_too_many_sessions);
    tcase_add_test(tc, test_no_profile);
    tcase_add_test(tc, test_seed_range);
    tcase_add_test(tc, test_one_line);
    tcase_add_test(tc, test_long_names);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
