# Included into the build of the messages (CMAKE_PROJECT_INCLUDE) where ROS comes from PyPI.
#
# The CMake targets that those wheels export name include folders of the machine that built
# them, and CMake refuses an imported target whose folders do not exist. Such folders are taken
# off the targets once all packages are found.
function(strip_missing_include_folders)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(folders)
      set(kept)
      foreach(folder IN LISTS folders)
        if(folder MATCHES "\\$<" OR EXISTS "${folder}")
          list(APPEND kept "${folder}")
        endif()
      endforeach()
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
    endif()
  endforeach()
endfunction()

cmake_language(DEFER CALL strip_missing_include_folders)
