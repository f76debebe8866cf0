#pragma once

#include "CoreMinimal.h"

class FDefaultModuleImpl {};
#define IMPLEMENT_MODULE(Class, Name) static_assert(sizeof(Class) > 0, #Name);

struct FModuleManager {
  template <typename T>
  static T& LoadModuleChecked(FName) {
    static T module;
    return module;
  }
};
