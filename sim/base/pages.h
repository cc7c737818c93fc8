/*
 * Huge pages for what grows large and is walked without order: there much of the time goes into finding
 * pages.
 */
#pragma once

/* Reserves a gigabyte of addresses for the process's heap (malloc() and its like), and asks the kernel to
 * back it with huge pages. For a program that is about to run in virtual time. Advice: where the kernel, the
 * C library or a limit does not take it, all goes on as before. */
void pages_prefer_huge(void);
