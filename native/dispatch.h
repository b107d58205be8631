// The levels that this processor can run, the best last.
#pragma once

#include <vector>

#include "table.h"

const std::vector<const Table*>& levels_here();
