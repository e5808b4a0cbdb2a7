// Both come from the build.
#include "src/base/version.h"

namespace dslite {

const char* version() { return DSLITE_VERSION; }
const char* commit() { return DSLITE_COMMIT; }

}  // namespace dslite
