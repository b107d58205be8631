// The buffers of a book and a program, opened by name and checked once.
#pragma once

#include "engine.h"
#include "opener.h"

Book open_book(PyObject* given, Opened& opened, int64_t& inputs);
// Throws where anything in it points outside what it points into, or is read before it is written.
Program open_program(PyObject* given, Opened& opened, int64_t inputs);

Desk open_desk(PyObject* given, Opened& opened, const Book& book, const Program& program);

extern const struct OperationName {
    const char* name;
    int32_t number, operands;
} OPERATION_NAMES[];
