/* calls.c - what all calls share. */
#include "calls.h"
#include "errors.h"

int call_raise(const struct callee *callee, qrnn_status status, const size_t *step)
{
    error_from_status(status, &(struct error_context){.engine = qrnn_module_engine(callee->packed),
                                                      .weight = "input",
                                                      .input = "input",
                                                      .hidden = "hx",
                                                      .step = step});
    return -1;
}
