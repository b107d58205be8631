#pragma once
#include "engine.h"
struct Checking {
    static constexpr char ITEMS[] = "PBDqqddq>d>bn";
    const Program* program;
    const Book* book;
    const Desk* desk;
    const int64_t *account, *contract;
    const double *quantity, *price;
    const int64_t* order;
    double* out;
    uint8_t* aside;
    int64_t trades;
};
