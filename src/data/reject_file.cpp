// Writes rejected records.
#include "src/data/reject_file.h"

#include <unistd.h>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/text/utf8.h"

namespace dslite {

RejectFile::RejectFile(std::string path)
    : path_(std::move(path)),
      temporary_(path_ + ".tmp"),
      lock_(temporary_, path_),
      file_(std::make_unique<DurableFile>(temporary_, DurableFile::Existing::kReplace)) {}

RejectFile::~RejectFile() {
  if (file_) ::unlink(temporary_.c_str());
}

void RejectFile::add(const std::string& input, const RawRecord& record, RejectReason reason,
                     const std::string& message) {
  Json line{{"file", record.file.empty() ? input : input + "/" + record.file},
            {"line", record.line},
            {"element", record.index < 0 ? Json(nullptr) : Json(record.index)},
            {"reason", reject_reason_name(reason)},
            {"message", message},
            {"record", record.too_large ? Json(nullptr) : Json(repaired_utf8(record.bytes))}};
  file_->write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void RejectFile::commit() {
  file_->sync_and_close();
  rename_durably(temporary_, path_);
  file_.reset();
}

}  // namespace dslite
