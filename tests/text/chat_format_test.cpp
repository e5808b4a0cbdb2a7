// Chat formats: masks by construction, recognition of templates, what is refused.
#include "src/text/chat_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::small_tokenizer;

const std::vector<Message> kConversation = {{Role::kSystem, "Be brief."},
                                            {Role::kUser, "One?"},
                                            {Role::kAssistant, "1", 0.5f},
                                            {Role::kUser, "Two?"},
                                            {Role::kAssistant, "2", 1.0f}};

std::string trained_text(const RenderedChat& chat) {
  std::string text;
  for (size_t i = 0; i < chat.tokens.size(); ++i) {
    if (chat.loss_weight[i] > 0) text += small_tokenizer()->token_bytes(chat.tokens[i]);
  }
  return text;
}

TEST(ChatFormat, MasksOfDeepseekV2) {
  const RenderedChat chat =
      tokenize_chat(*small_tokenizer(), ChatFormat::named("deepseek-v2").render(kConversation, false));
  const std::string bos = kBosText, eos = kEosText;
  EXPECT_EQ(small_tokenizer()->decode(chat.tokens),
            bos + "Be brief.\n\nUser: One?\n\nAssistant: 1" + eos + "User: Two?\n\nAssistant: 2" + eos);
  EXPECT_EQ(trained_text(chat), " 1" + eos + " 2" + eos);
  EXPECT_EQ(std::count(chat.tokens.begin(), chat.tokens.end(), *small_tokenizer()->bos_id()), 1);
  EXPECT_EQ(chat.loss_weight.size(), chat.tokens.size());
  ASSERT_EQ(chat.turns.size(), kConversation.size());
  EXPECT_EQ(chat.turns[0].begin, 1);
  for (size_t i = 0; i + 1 < chat.turns.size(); ++i) EXPECT_EQ(chat.turns[i].end, chat.turns[i + 1].begin);
  EXPECT_EQ(chat.turns.back().end, static_cast<int64_t>(chat.tokens.size()));
  for (const auto& turn : chat.turns) {
    for (int64_t i = turn.begin; i < turn.end; ++i)
      EXPECT_TRUE(chat.loss_weight[i] == 0 || chat.loss_weight[i] == turn.weight);
    if (turn.role != Role::kAssistant) continue;
    EXPECT_EQ(chat.tokens[turn.end - 1], *small_tokenizer()->eos_id());
    EXPECT_EQ(chat.loss_weight[turn.end - 1], turn.weight);
  }
  EXPECT_EQ(chat.turns[2].weight, 0.5f);
  EXPECT_EQ(chat.turns[1].weight, 0.0f);
}

// The small tokenizer with the special tokens of every format.
std::shared_ptr<const Tokenizer> chat_tokenizer() {
  static const auto tokenizer = [] {
    Json json = tokenizer_json(testing::small_bpe());
    auto id = static_cast<int32_t>(small_tokenizer()->vocab_size());
    for (const char* token : {"<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>",
                              "<|end_header_id|>", "<|eot_id|>"}) {
      Json added = json["added_tokens"][0];
      added["id"] = id++;
      added["content"] = token;
      added["special"] = id % 2 == 0;  // some tokenizers add them as plain tokens
      json["added_tokens"].push_back(added);
    }
    return std::make_shared<const Tokenizer>(json, tokenizer_config_json(), "chat");
  }();
  return tokenizer;
}

// The reply's text alone is trained, whatever it or the others hold; every trained turn ends in a trained eos; no
// user's token is ever trained.
TEST(ChatFormat, OnlyRepliesAreTrained) {
  for (const std::string& name : ChatFormat::names()) {
    const ChatFormat& format = ChatFormat::named(name);
    const int32_t end = turn_end_id(format, *chat_tokenizer());
    for (uint64_t seed = 0; seed < 500; ++seed) {
      std::vector<Message> messages;
      std::string expected;
      for (uint64_t i = 0; i < 1 + seed % 5; ++i) {
        Role role = static_cast<Role>((seed + i) % 3);
        if (role == Role::kSystem && i > 0) role = format.has_role(Role::kTool) ? Role::kTool : Role::kUser;
        messages.push_back({role, testing::random_text(seed * 10 + i, 20) + (i % 2 ? kEosText : "Assistant:"),
                            0.25f * static_cast<float>(1 + (seed + i) % 4)});
        Message& message = messages.back();
        if (seed % 4 == 1 && message.text.size() > 4) {  // only the last part is trained
          message.parts = {{message.text.size() - 4, 0.0f}, {4, message.weight}};
          while (!find_invalid_utf8(message.text.substr(message.parts[0].size_bytes)) &&
                 message.parts[0].size_bytes > 0) {
            --message.parts[0].size_bytes;
            ++message.parts[1].size_bytes;
          }
          if (message.parts[0].size_bytes == 0) message.parts.clear();
        }
        if (role != Role::kAssistant) continue;
        Message trained = message;
        if (name == "llama3") trained.strip();
        const size_t from = trained.parts.empty() ? 0 : trained.parts[0].size_bytes;
        if (from == 0 && name == "deepseek-v2") expected += " ";
        expected += trained.text.substr(from) + chat_tokenizer()->token_bytes(end);
      }
      const RenderedChat chat = tokenize_chat(*chat_tokenizer(), format.render(messages, seed % 3 == 0));
      std::string trained;
      for (size_t i = 0; i < chat.tokens.size(); ++i) {
        if (chat.loss_weight[i] > 0) trained += chat_tokenizer()->token_bytes(chat.tokens[i]);
      }
      ASSERT_EQ(trained, expected) << name << " seed " << seed;
      ASSERT_EQ(chat.turns.size(), messages.size());
      std::vector<float> outside = chat.loss_weight;
      for (size_t m = 0; m < messages.size(); ++m) {
        const RenderedChat::Turn& turn = chat.turns[m];
        ASSERT_EQ(turn.role, messages[m].role);
        if (turn.role != Role::kAssistant) continue;
        ASSERT_EQ(turn.weight, messages[m].weight);
        ASSERT_EQ(chat.tokens[static_cast<size_t>(turn.end) - 1], end);
        ASSERT_EQ(chat.loss_weight[static_cast<size_t>(turn.end) - 1], turn.weight);
        std::fill(outside.begin() + turn.begin, outside.begin() + turn.end, 0.0f);
      }
      ASSERT_EQ(std::ranges::count(outside, 0.0f), static_cast<int64_t>(outside.size())) << name << " seed " << seed;
    }
  }
}

TEST(ChatFormat, GenerationPromptHasNoTrailingSpace) {
  const auto segments = ChatFormat::named("deepseek-v2").render({{Role::kUser, "Hi"}}, true);
  EXPECT_EQ(segments.back().text, "Assistant:");
  EXPECT_EQ(segments.back().message, -1);
  EXPECT_EQ(segments.back().weight, 0.0f);
}

// What a model is prompted with is what it was trained on, token for token.
TEST(ChatFormat, PromptAndReplyMeetAtATokenEdge) {
  for (const std::string& name : ChatFormat::names()) {
    const ChatFormat& format = ChatFormat::named(name);
    const std::vector<Message> asked = {{Role::kUser, "Hi there"}};
    std::vector<Message> answered = asked;
    answered.push_back({Role::kAssistant, "Hello"});
    const auto prompt = tokenize_chat(*chat_tokenizer(), format.render(asked, true)),
               whole = tokenize_chat(*chat_tokenizer(), format.render(answered, false));
    ASSERT_LT(prompt.tokens.size(), whole.tokens.size());
    for (size_t i = 0; i < prompt.tokens.size(); ++i) EXPECT_EQ(prompt.tokens[i], whole.tokens[i]) << name;
    EXPECT_GT(whole.loss_weight[prompt.tokens.size()], 0.0f);
  }
}

TEST(ChatFormat, MissingTokensAreNamed) {
  for (const auto& [name, token] :
       {std::pair{"deepseek-v2.5", "<｜Assistant｜>"}, {"chatml", "<|im_start|>"}, {"llama3", "<|start_header_id|>"}}) {
    try {
      tokenize_chat(*small_tokenizer(), ChatFormat::named(name).render({{Role::kAssistant, "x"}}, false));
      FAIL() << name;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(token));
      EXPECT_THAT(error.what(), HasSubstr("the tokenizer has no token"));
    }
    EXPECT_THROW(turn_end_id(ChatFormat::named(name), *small_tokenizer()), UserError);
  }
  EXPECT_THROW(ChatFormat::named("deepseek-v2.5").render({{Role::kUser, "x"}, {Role::kSystem, "late"}}, false),
               UserError);
}

TEST(ChatFormat, TemplatesAreRecognised) {
  for (const std::string& name : ChatFormat::names()) {
    EXPECT_EQ(&ChatFormat::recognised(ChatFormat::named(name).chat_template(), "f"), &ChatFormat::named(name));
  }
  EXPECT_THAT(ChatFormat::names(), ElementsAre("deepseek-v2", "deepseek-v2.5", "chatml", "llama3", "plain"));
  try {
    ChatFormat::recognised("{{ messages }}", "folder/chat_template.jinja");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("folder/chat_template.jinja: the chat template"));
    EXPECT_THAT(error.what(), HasSubstr("deepseek-v2, deepseek-v2.5, chatml, llama3, plain"));
  }
}

TEST(ChatFormat, UnknownNamesAndRolesAreRefused) {
  try {
    ChatFormat::named("deepseek-v3");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"deepseek-v2"));
  }
  for (const std::string& name : ChatFormat::names()) {
    for (const Role role : {Role::kTool, Role::kDeveloper}) {
      if (ChatFormat::named(name).has_role(role)) continue;
      EXPECT_THROW(ChatFormat::named(name).render({{role, "x"}}, false), UserError);
    }
    EXPECT_EQ(ChatFormat::named(name).has_role(Role::kTool), name == "chatml" || name == "llama3");
  }
}

}  // namespace
}  // namespace dslite
