// Stand-ins for the few parts of Unreal Engine that the example uses, so that a compiler can check
// it where there is no engine. Signatures as in Unreal 5; nothing here does anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

using uint8 = std::uint8_t;
using int32 = std::int32_t;
using uint32 = std::uint32_t;
using int64 = std::int64_t;
using SIZE_T = std::size_t;
using TCHAR = char16_t;

#define TEXT(x) u##x
#define UCLASS(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define GENERATED_BODY() \
  using Super = UActorComponent;
#define TALKINGAVATAR_API
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, Type, Parameter) \
  struct Name {                                                           \
    void Broadcast(Type) const {}                                         \
  }

class FString {
 public:
  FString() = default;
  FString(const TCHAR* text) : text_(text) {}
  const TCHAR* operator*() const { return text_.c_str(); }
  bool IsEmpty() const { return text_.empty(); }
  FString operator+(const TCHAR* more) const { return FString((text_ + more).c_str()); }

 private:
  std::u16string text_;
};

class FName {
 public:
  FName() = default;
  FName(const TCHAR*) {}
  FName(const char*) {}
};

template <typename T>
class TArray {
 public:
  int32 Num() const { return 0; }
  const T* GetData() const { return nullptr; }
  void Add(const T&) {}
  void Append(const T*, int32) {}
  const T& operator[](int32) const { return item_; }

 private:
  T item_{};
};

template <typename T>
class TSharedPtr {
 public:
  bool IsValid() const { return false; }
  T* operator->() const { return nullptr; }
};

inline const char* TCHAR_TO_UTF8(const TCHAR*) { return ""; }
inline const TCHAR* UTF8_TO_TCHAR(const char*) { return u""; }

struct FMath {
  template <typename T>
  static T Min(T a, T b) {
    return a < b ? a : b;
  }
};

struct FMemory {
  static void* Memcpy(void* to, const void*, SIZE_T) { return to; }
};
