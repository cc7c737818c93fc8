/*
 * Intrusive doubly linked lists: the links live in the elements, so that nothing is allocated and an element
 * can leave its list knowing only itself. A list owns no element.
 *
 *     struct job { struct list link; … };
 *     struct list queue;  list_init(&queue);  list_push_back(&queue, &job->link);
 *     list_for_each(job, &queue, struct job, link) …
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A list's head, or the link inside an element. */
struct list {
    struct list *next;
    struct list *prev;
};

/* The element of `type` whose `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Makes an empty list of a head, or an unlinked link. */
static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

/* True for a head without elements, and for a link in no list. */
static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}
static inline bool list_is_linked(const struct list *link)
{
    return link->next != link;
}

/* Puts `link`, which must be in no list, before `pos`. */
static inline void list_insert_before(struct list *pos, struct list *link)
{
    link->prev = pos->prev;
    link->next = pos;
    pos->prev->next = link;
    pos->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}
static inline void list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

/* Takes `link` out of its list, if it is in one. It may be put into a list again. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The first or last link, or NULL when the list is empty. */
static inline struct list *list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}
static inline struct list *list_last(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->prev;
}

/* Takes the first link out and returns it, or NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *link = list_first(head);

    if (link) list_remove(link);
    return link;
}

/* Moves all elements of `from` to the end of `to`, in order. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_is_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The first element, or NULL. */
#define list_first_entry(head, type, member)                                                                 \
    (list_is_empty(head) ? (type *)NULL : container_of((head)->next, type, member))

/* Walks all elements from first to last. Declares `var`; the body may remove or free `var` (but no other). */
#define list_for_each(var, head, type, member)                                                               \
    for (type *var = container_of((head)->next, type, member),                                               \
              *var##_next = container_of(var->member.next, type, member);                                    \
         &var->member != (head);                                                                             \
         var = var##_next, var##_next = container_of(var##_next->member.next, type, member))
