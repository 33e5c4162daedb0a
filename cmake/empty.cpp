// Gives the shared libraries, which are made of the layers' archives, the one source that CMake asks for.
// SPDX-License-Identifier: Apache-2.0
