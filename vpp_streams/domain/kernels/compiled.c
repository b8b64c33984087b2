/* The innermost loops of telemetry and allocation, compiled. `vpp_streams/domain/kernels/__init__.py`
   says what they are for; numpy's form of each is the oracle that tests compare it with.

   Every function takes buffers that the caller made, checks their sizes and every row number, and
   touches nothing else. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if PY_LITTLE_ENDIAN != 1
#error "names are compared as little-endian words"
#endif

#include "buffers.h"
#include "names.h"
#include "lines.h"
#include "messages.h"
#include "rows.h"
#include "powers.h"
#include "plain.h"

#define KERNELS_VERSION 3 /* as in __init__.py: a build of other sources is not used */

static PyMethodDef methods[] = {
    {"find_names", (PyCFunction)(void (*)(void))find_names, METH_FASTCALL, NULL},
    {"gather_names", (PyCFunction)(void (*)(void))gather_names, METH_FASTCALL, NULL},
    {"count_lines", (PyCFunction)(void (*)(void))count_lines, METH_FASTCALL, NULL},
    {"read_lines", (PyCFunction)(void (*)(void))read_lines, METH_FASTCALL, NULL},
    {"only_text", (PyCFunction)(void (*)(void))only_text, METH_FASTCALL, NULL},
    {"read_message", (PyCFunction)(void (*)(void))read_message, METH_FASTCALL, NULL},
    {"check_rows", (PyCFunction)(void (*)(void))check_rows, METH_FASTCALL, NULL},
    {"each_once", (PyCFunction)(void (*)(void))each_once, METH_FASTCALL, NULL},
    {"in_step", (PyCFunction)(void (*)(void))in_step, METH_FASTCALL, NULL},
    {"add_readings", (PyCFunction)(void (*)(void))add_readings, METH_FASTCALL, NULL},
    {"keep_newest", (PyCFunction)(void (*)(void))keep_newest, METH_FASTCALL, NULL},
    {"survey", (PyCFunction)(void (*)(void))survey, METH_FASTCALL, NULL},
    {"powers_at", (PyCFunction)(void (*)(void))powers_at, METH_FASTCALL, NULL},
    {"look_at", (PyCFunction)(void (*)(void))look_at, METH_FASTCALL, NULL},
    {"apply_plain", (PyCFunction)(void (*)(void))apply_plain, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_compiled", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__compiled(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddIntConstant(made, "VERSION", KERNELS_VERSION) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
