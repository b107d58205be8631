// What the parts of the module know of each other.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "table.h"

const Table& level_in_use();
int add_engine(PyObject* module);  // the type Engine and the numbers of its operations; -1 with a Python error
