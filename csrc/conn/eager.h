/* eager.h: an asyncio.Task whose first step runs at once, not in a later iteration of the loop.
 *
 * One of two files is used, which setup.py chooses: eager_py312.c from Python 3.12 on, where asyncio does
 * it, eager_py311.c before that. task.c calls them, and has the loop make the task where these cannot.
 */
#ifndef TBX_CONN_EAGER_H
#define TBX_CONN_EAGER_H

#include "py/state.h"

typedef struct TbxHubObject TbxHubObject;
typedef struct tbx_eager tbx_eager; /* what a hub keeps for it */

/* Called once, after the loop was set: makes hub->eager, which stays NULL for a loop whose tasks cannot
 * be started so. 0, or -1 with an exception. */
int tbx_eager_init(TbxHubObject *hub);
int tbx_eager_traverse(tbx_eager *eager, visitproc visit, void *arg);
/* Drops what it owns; its memory is the hub's to free. */
void tbx_eager_clear(tbx_eager *eager);

/* Whether a task can be started so now: 1 or 0; -1 with an exception. Nothing that may let another thread
 * run may come between this and tbx_eager_start. */
int tbx_eager_is_possible(TbxHubObject *hub);
/* Makes a task of coro in context, runs its first step, and has it held when it waits (tbx_task_keep).
 * 0, or -1 with an exception: an error of asyncio's, or what ends the process. Escapes. */
int tbx_eager_start(TbxHubObject *hub, PyObject *coro, PyObject *context);

#endif
