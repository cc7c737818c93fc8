/*
 * Files that the program carries within itself, for reports: made at build time by embed.c. No NUL is counted
 * in the lengths; one more stands after the end.
 */
#pragma once

#include <stddef.h>

extern const unsigned char embedded_chart_js[]; /* Chart.js, minified, MIT licence */
extern const size_t embedded_chart_js_len;
extern const unsigned char embedded_report_js[];
extern const size_t embedded_report_js_len;
extern const unsigned char embedded_report_css[];
extern const size_t embedded_report_css_len;
