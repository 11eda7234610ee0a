/* fence.h - memory that ends right before, or begins right after, a page that nobody may touch. */
#ifndef FENCE_H
#define FENCE_H

#include <stddef.h>

enum fence_side { FENCE_RIGHT, FENCE_LEFT };

extern enum fence_side fence_side;

/* Zeroed memory of exactly `bytes`: its last byte is a page's last, or its first a page's first. */
void *fence_take(size_t bytes);
void fence_give_back(void);                                   /* all of it */

/* Sets what a touch of such a page prints before the program ends with status 1. */
void fence_watch(const char *(*describe)(void));

#endif
