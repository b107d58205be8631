// The Python side of the option kernels; module.cpp lists them.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>


PyObject* option_values(PyObject*, PyObject* args);
PyObject* option_greeks(PyObject*, PyObject* args);
PyObject* implied_vols(PyObject*, PyObject* args);
PyObject* revalue(PyObject*, PyObject* args);
