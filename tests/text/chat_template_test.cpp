// The template of a folder: where it is looked for, and which format it is.
#include "src/text/chat_template.h"

#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/text/chat_format.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

TEST(ChatTemplate, IsRecognisedWithRealLineFeedsToo) {
  for (const std::string& name : ChatFormat::names()) {
    std::string text = ChatFormat::named(name).chat_template();
    EXPECT_EQ(ChatFormat::recognised(text, "here").name(), name);
    for (size_t at; (at = text.find("\\n")) != std::string::npos;) text.replace(at, 2, 1, '\n');
    EXPECT_EQ(ChatFormat::recognised(text, "here").name(), name);
    EXPECT_THROW(ChatFormat::recognised(text + " ", "here"), UserError);
  }
}

TEST(ChatTemplate, IsFoundInEitherFile) {
  const TempFolder folder;
  EXPECT_FALSE(chat_template_of_folder(folder.path()));
  write_text(folder / "tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_FALSE(chat_template_of_folder(folder.path()));
  write_text(folder / "tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(chat_template_of_folder(folder.path())->text, "one");
  write_text(folder / "tokenizer_config.json",
             R"({"chat_template": [{"name":"rag","template":"x"},{"name":"default","template":"two"}]})");
  EXPECT_EQ(chat_template_of_folder(folder.path())->text, "two");
  write_text(folder / "tokenizer_config.json", R"({"chat_template": [{"name":"rag","template":"x"}]})");
  EXPECT_THROW(chat_template_of_folder(folder.path()), UserError);
  write_text(folder / "tokenizer_config.json", R"({"chat_template": 7})");
  EXPECT_THROW(chat_template_of_folder(folder.path()), UserError);
  write_text(folder / "chat_template.jinja", "three");
  EXPECT_EQ(chat_template_of_folder(folder.path())->text, "three");
  EXPECT_EQ(chat_template_of_folder(folder.path())->where, folder / "chat_template.jinja");
}

}  // namespace
}  // namespace dslite
