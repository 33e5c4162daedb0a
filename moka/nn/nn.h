// Everything that a C++ program needs to train: typed functions, modules, optimizers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/functional.h"  // written when Moka is built
#include "moka/nn/layers.h"   // IWYU pragma: export
#include "moka/nn/module.h"   // IWYU pragma: export
#include "moka/nn/optim.h"    // IWYU pragma: export
#include "moka/ops/operators.h"  // + - * / and comparisons of tensors
